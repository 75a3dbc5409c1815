package cli

import (
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// limitFields is the flags for limits of a user, or of each user of a role.
type limitFields struct {
	subscriptions, payload string
	quotas                 []string // name=amount/burst/policy
}

// The flags of limits that nats-server knows too.
const (
	flagSubscriptions = "subscriptions"
	flagPayload       = "payload"
)

func (f *limitFields) flags(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVar(&f.subscriptions, flagSubscriptions, "", "subscriptions of one connection: a number, or "+unlimited)
	set.StringVar(&f.payload, flagPayload, "", "bytes of one message: a number, or "+unlimited)
	set.StringArrayVar(&f.quotas, "limit", nil,
		"name=amount[/burst[/slow|refuse|close]] or name="+unlimited+", again for each of msgs-in, bytes-in, msgs-out, bytes-out, connects, subscribes, user-connections")
}

// message returns the limits whose flags were given, nil for none, and adds their
// paths to the mask.
func (f *limitFields) message(cmd *cobra.Command, mask *fieldmaskpb.FieldMask) (*apiv1.Limits, error) {
	before := len(mask.Paths)
	limits := &apiv1.Limits{}
	for _, field := range []struct {
		flag, path, text string
		value            **int64
	}{
		{flagSubscriptions, "limits.subscriptions", f.subscriptions, &limits.Subscriptions},
		{flagPayload, "limits.payload_bytes", f.payload, &limits.PayloadBytes},
	} {
		if !cmd.Flags().Changed(field.flag) {
			continue
		}
		n, err := parseLimit(field.flag, field.text)
		if err != nil {
			return nil, err
		}
		*field.value = n
		mask.Paths = append(mask.Paths, field.path)
	}
	if err := readQuotas(f.quotas, limits, mask); err != nil || len(mask.Paths) == before {
		return nil, err
	}
	return limits, nil
}

// limitPairs shows the limits of a user or a role that are set.
func limitPairs(l *apiv1.Limits) []term.Pair {
	if l == nil {
		return nil
	}
	var pairs []term.Pair
	if l.Subscriptions != nil {
		pairs = append(pairs, term.Pair{Name: "subscriptions", Value: strconv.FormatInt(l.GetSubscriptions(), 10)})
	}
	if l.PayloadBytes != nil {
		pairs = append(pairs, term.Pair{Name: "payload bytes", Value: strconv.FormatInt(l.GetPayloadBytes(), 10)})
	}
	return append(pairs, quotaPairs(l)...)
}
