package telemetry_test

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// encoder writes attributes for people.
type encoder struct{}

func (encoder) Encode(it attribute.Iterator) string {
	var all []string
	for it.Next() {
		kv := it.Attribute()
		all = append(all, string(kv.Key)+"="+kv.Value.String())
	}
	return strings.Join(all, ",")
}

func (encoder) ID() attribute.EncoderID { return attribute.EncoderID{} }
