package api

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/coveymq/covey/controlplane/internal/filter"
)

// filterRounds bounds how many pages one call reads to fill its own. A list
// that is longer goes on at the next call: a page may be short, or even empty,
// and still have one after it.
const filterRounds = 20

// listRequest is what every request of a list has.
type listRequest interface {
	proto.Message
	GetFilter() string
	GetPageSize() int32
	GetPageToken() string
}

// listResponse is what every answer of a list has, beside its items.
type listResponse interface {
	proto.Message
	GetNextPageToken() string
}

// filtered calls a handler, and leaves out of a list what its filter does not
// want. It reads on until the page is full, so that whoever asks for few of
// many does not have to ask often.
func filtered(ctx context.Context, req proto.Message, next grpc.UnaryHandler) (any, error) {
	list, ok := req.(listRequest)
	if !ok || list.GetFilter() == "" {
		return next(ctx, req)
	}
	again, ok := proto.Clone(req).(listRequest)
	if !ok {
		return nil, fmt.Errorf("request of type %T is not the list that it was", req)
	}
	size := int(list.GetPageSize())
	if size == 0 {
		size = pageSizeDefault
	}
	page := &filteredPage{text: list.GetFilter()}
	for range filterRounds {
		set(again, "page_size", protoreflect.ValueOfInt32(int32(size-page.found))) //nolint:gosec // at most what was asked for
		resp, err := next(ctx, again)
		if err != nil {
			return nil, err
		}
		part, ok := resp.(listResponse)
		if !ok {
			return nil, fmt.Errorf("answer of type %T is no list", resp)
		}
		if err := page.add(part); err != nil {
			return nil, err
		}
		if part.GetNextPageToken() == "" || page.found >= size {
			break
		}
		set(again, "page_token", protoreflect.ValueOfString(part.GetNextPageToken()))
	}
	return page.resp, nil
}

// pageSizeDefault is the store's.
const pageSizeDefault = 100

func set(m proto.Message, field protoreflect.Name, v protoreflect.Value) {
	r := m.ProtoReflect()
	r.Set(r.Descriptor().Fields().ByName(field), v)
}

// filteredPage collects what a filter wants of several pages.
type filteredPage struct {
	text   string
	filter *filter.Filter
	resp   listResponse // the first page; what is wanted of the others is put there
	found  int
}

func (p *filteredPage) add(part listResponse) error {
	items := itemsOf(part)
	if p.resp == nil {
		f, err := filter.Parse(p.text, items.Message())
		if err != nil {
			return err
		}
		p.filter = f
	}
	from := part.ProtoReflect().Get(items).List()
	var wanted []protoreflect.Value
	for i := range from.Len() {
		if p.filter.Matches(from.Get(i).Message().Interface()) {
			wanted = append(wanted, from.Get(i))
		}
	}
	if p.resp == nil {
		p.resp = part
		part.ProtoReflect().Clear(items)
	}
	to := p.resp.ProtoReflect().Mutable(items).List()
	for _, v := range wanted {
		to.Append(v)
	}
	p.found += len(wanted)
	set(p.resp, "next_page_token", protoreflect.ValueOfString(part.GetNextPageToken()))
	return nil
}

// itemsOf finds the list in an answer: its one repeated field.
func itemsOf(m proto.Message) protoreflect.FieldDescriptor {
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if fields.Get(i).IsList() {
			return fields.Get(i)
		}
	}
	return nil
}
