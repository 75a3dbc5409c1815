package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// messageJSON is the API's own JSON form of a message, in one stable line:
// protojson varies its spaces on purpose.
func messageJSON(m proto.Message) (json.RawMessage, error) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return b.Bytes(), nil
}

// show prints one message: JSON for programs, pairs for people.
func (a *App) show(m proto.Message, pairs ...term.Pair) error {
	if a.preview != nil {
		return a.showPreview(pairs)
	}
	if !a.streams.JSON {
		return a.streams.Describe(pairs...)
	}
	raw, err := messageJSON(m)
	if err != nil {
		return err
	}
	return a.streams.PrintJSON(raw)
}

// showList prints messages: {"key": [...]} for programs, a table for people.
func showList[M proto.Message](a *App, key string, all []M, header []string, row func(M) []string) error {
	if a.streams.JSON {
		raws := make([]json.RawMessage, 0, len(all))
		for _, m := range all {
			raw, err := messageJSON(m)
			if err != nil {
				return err
			}
			raws = append(raws, raw)
		}
		return a.streams.PrintJSON(map[string]any{key: raws})
	}
	if len(all) == 0 {
		a.streams.Sayf("No %s.", key)
		return nil
	}
	rows := make([][]string, 0, len(all))
	for _, m := range all {
		rows = append(rows, row(m))
	}
	return a.streams.Table(header, rows)
}

// page is one answer of a List method.
type page[M any] interface {
	GetNextPageToken() string
	proto.Message
}

// pageSize is the most that a List method gives at once.
const pageSize = 1000

// listAll reads every page.
func listAll[M any, P page[M]](ctx context.Context, get func(ctx context.Context, token string) (P, error), items func(P) []M) ([]M, error) {
	var all []M
	for token := ""; ; {
		p, err := get(ctx, token)
		if err != nil {
			return nil, err
		}
		all = append(all, items(p)...)
		next := p.GetNextPageToken()
		if next == "" {
			return all, nil
		}
		if next == token {
			return nil, term.Failf("report this to the operator", "the control plane repeats a page of the list")
		}
		token = next
	}
}

// stamp formats a time of the API for people.
func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return term.Time(t.AsTime())
}

// stampJSON formats a time of the API for programs; nil becomes null.
func stampJSON(t *timestamppb.Timestamp) *string {
	if t == nil {
		return nil
	}
	s := t.AsTime().Format(time.RFC3339Nano)
	return &s
}
