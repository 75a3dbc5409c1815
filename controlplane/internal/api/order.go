package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane/internal/filter"
	"github.com/coveymq/covey/internal/errs"
)

const (
	orderedMax    = 1000 // resources of a list that is put into another order than its own; as many as a page may have
	orderFields   = 3
	orderKeyBytes = 100 // of a text that count: a page token has room for so many
)

// orderedRequest is the request of a list that can be in several orders.
type orderedRequest interface {
	listRequest
	GetOrderBy() string
}

// naturalOrder is the order in which a list is read from the store: the one that
// costs nothing, however long the list. Those that are not here are in the order of
// their names, each below one parent.
func naturalOrder(req proto.Message) string {
	switch req.ProtoReflect().Descriptor().Name() {
	case "ListCredentialsRequest":
		return "issue_time desc"
	case "ListOperationsRequest", "ListInvitationsRequest", "ListSharesRequest", "ListShareOffersRequest":
		return "create_time desc"
	case "ListAlertsRequest":
		return "open_time desc"
	case "ListAPIKeysRequest":
		return "create_time"
	}
	return "name"
}

// listed calls the handler of a list, and does what every list can: filters and
// orders.
func listed(ctx context.Context, req proto.Message, next grpc.UnaryHandler) (any, error) {
	list, ok := req.(orderedRequest)
	if !ok || list.GetOrderBy() == "" {
		return filtered(ctx, req, next)
	}
	terms, err := parseOrder(list.GetOrderBy())
	if err != nil {
		return nil, err
	}
	if terms.String() == naturalOrder(req) {
		return filtered(ctx, req, next)
	}
	return ordered(ctx, list, terms, next)
}

// orderTerm is one field of an order.
type orderTerm struct {
	field string
	desc  bool
}

type orderTerms []orderTerm

// String is the order in one way of writing it.
func (o orderTerms) String() string {
	parts := make([]string, len(o))
	for i, t := range o {
		parts[i] = t.field
		if t.desc {
			parts[i] += " desc"
		}
	}
	return strings.Join(parts, ", ")
}

func badOrder(format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "INVALID_ORDER", format, args...).WithField("order_by").
		WithNext("for example \"create_time desc, name\"; see docs/filters.md")
}

func parseOrder(text string) (orderTerms, error) {
	var out orderTerms
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Fields(part)
		if len(words) == 2 && words[1] == "asc" {
			words = words[:1]
		}
		if len(words) == 0 || len(words) > 2 || len(words) == 2 && words[1] != "desc" {
			return nil, badOrder("order_by: %q is not a field, or a field and desc", strings.TrimSpace(part))
		}
		if slices.ContainsFunc(out, func(t orderTerm) bool { return t.field == words[0] }) {
			return nil, badOrder("order_by: %q is there twice", words[0])
		}
		out = append(out, orderTerm{field: words[0], desc: len(words) == 2})
	}
	if len(out) > orderFields {
		return nil, badOrder("order_by: %d fields, and there may be %d", len(out), orderFields)
	}
	return out, nil
}

// ordered reads a whole list, if it is not too long, and gives the part of it that
// is wanted. It costs the same for every page.
func ordered(ctx context.Context, req orderedRequest, terms orderTerms, next grpc.UnaryHandler) (any, error) {
	whole, ok := proto.Clone(req).(orderedRequest)
	if !ok {
		return nil, fmt.Errorf("request of type %T is not the list that it was", req)
	}
	set(whole, "page_size", protoreflect.ValueOfInt32(orderedMax))
	set(whole, "page_token", protoreflect.ValueOfString(""))
	got, err := next(ctx, whole)
	if err != nil {
		return nil, err
	}
	resp, ok := got.(listResponse)
	if !ok {
		return nil, fmt.Errorf("answer of type %T is no list", got)
	}
	fields, err := terms.fields(itemsOf(resp).Message())
	if err != nil {
		return nil, err
	}
	if resp.GetNextPageToken() != "" {
		return nil, errs.New(errs.Exhausted, "LIST_TOO_LONG", "a list of more than %d is only to be had in the order %q", orderedMax, naturalOrder(req)).
			WithField("order_by").WithNext("leave order_by out, and put it in order at your end")
	}
	entries, err := entriesOf(resp, req.GetFilter(), fields)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b orderEntry) int { return terms.compare(a.key, b.key) })
	return cut(req, resp, terms, entries)
}

// fields are those that an order names, and the name, which no two resources share.
func (o orderTerms) fields(of protoreflect.MessageDescriptor) ([]protoreflect.FieldDescriptor, error) {
	var out []protoreflect.FieldDescriptor
	for _, t := range o {
		f := of.Fields().ByTextName(t.field)
		if f == nil || !orderable(f) {
			var has []string
			for i := range of.Fields().Len() {
				if f := of.Fields().Get(i); orderable(f) {
					has = append(has, f.TextName())
				}
			}
			return nil, badOrder("order_by: there is no order by %q", t.field).WithNext("there is one by %s", strings.Join(has, ", "))
		}
		out = append(out, f)
	}
	name := of.Fields().ByTextName("name")
	if name == nil {
		return nil, badOrder("order_by: %s has no other order than its own", of.Name())
	}
	return append(out, name), nil
}

// orderable are single values, and times.
func orderable(f protoreflect.FieldDescriptor) bool {
	if f.IsList() || f.IsMap() || f.TextName() == "etag" {
		return false
	}
	switch f.Kind() {
	case protoreflect.MessageKind:
		return f.Message().FullName() == "google.protobuf.Timestamp"
	case protoreflect.BytesKind, protoreflect.GroupKind, protoreflect.FloatKind, protoreflect.DoubleKind:
		return false
	default:
		return true
	}
}

// orderEntry is a resource, and by what it is put in order: texts that compare as
// their values do, the name last.
type orderEntry struct {
	key  []string
	item protoreflect.Value
}

func entriesOf(resp listResponse, text string, fields []protoreflect.FieldDescriptor) ([]orderEntry, error) {
	items := itemsOf(resp)
	var only *filter.Filter
	if text != "" {
		f, err := filter.Parse(text, items.Message())
		if err != nil {
			return nil, err
		}
		only = f
	}
	var out []orderEntry
	list := resp.ProtoReflect().Get(items).List()
	for i := range list.Len() {
		m := list.Get(i).Message()
		if only != nil && !only.Matches(m.Interface()) {
			continue
		}
		e := orderEntry{item: list.Get(i)}
		for _, f := range fields {
			e.key = append(e.key, orderKey(m, f))
		}
		out = append(out, e)
	}
	return out, nil
}

// orderKey is a value as a text that compares as it does. What is not set comes
// before everything.
func orderKey(m protoreflect.Message, f protoreflect.FieldDescriptor) string {
	if f.HasPresence() && !m.Has(f) {
		return ""
	}
	v := m.Get(f)
	number := func(n int64) string { return fmt.Sprintf("%016x", uint64(n)^(1<<63)) } //nolint:gosec // the bits
	switch f.Kind() {
	case protoreflect.MessageKind:
		at, ok := v.Message().Interface().(*timestamppb.Timestamp)
		if !ok {
			return ""
		}
		return number(at.GetSeconds()) + number(int64(at.GetNanos()))
	case protoreflect.EnumKind:
		return number(int64(v.Enum()))
	case protoreflect.BoolKind:
		if v.Bool() {
			return "1"
		}
		return "0"
	case protoreflect.StringKind:
		return strings.ToValidUTF8(v.String()[:min(len(v.String()), orderKeyBytes)], "")
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return number(int64(min(v.Uint(), math.MaxInt64))) //nolint:gosec // bounded
	default:
		return number(v.Int())
	}
}

func (o orderTerms) compare(a, b []string) int {
	for i := range a {
		c := strings.Compare(a[i], b[i])
		if i < len(o) && o[i].desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// orderMark begins the page tokens of lists that were put in order. No other list
// takes them: their own have no slash.
const orderMark = "order/"

// orderToken says after what a page begins, and in which list: another order,
// filter or parent is another one.
type orderToken struct {
	List string   `json:"l"`
	Key  []string `json:"k"`
}

func listOf(req orderedRequest, terms orderTerms) (string, error) {
	same := proto.Clone(req)
	for _, f := range []protoreflect.Name{"page_token", "page_size"} {
		same.ProtoReflect().Clear(same.ProtoReflect().Descriptor().Fields().ByName(f))
	}
	set(same, "order_by", protoreflect.ValueOfString(terms.String()))
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(same)
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:9]), nil
}

var errOrderToken = errs.New(errs.Invalid, "INVALID_PAGE_TOKEN", "the page token is not of this list in this order").
	WithField("page_token").WithNext("begin with the first page")

// cut leaves in an answer the page that is wanted.
func cut(req orderedRequest, resp listResponse, terms orderTerms, entries []orderEntry) (any, error) {
	list, err := listOf(req, terms)
	if err != nil {
		return nil, err
	}
	if req.GetPageToken() != "" {
		after, err := parseOrderToken(req.GetPageToken())
		if err != nil || after.List != list || len(after.Key) != len(terms)+1 {
			return nil, errOrderToken
		}
		from, there := slices.BinarySearchFunc(entries, after.Key, func(e orderEntry, key []string) int { return terms.compare(e.key, key) })
		if there {
			from++
		}
		entries = entries[from:]
	}
	size := int(req.GetPageSize())
	if size == 0 {
		size = pageSizeDefault
	}
	token := ""
	if len(entries) > size {
		text, err := json.Marshal(orderToken{List: list, Key: entries[size-1].key})
		if err != nil {
			return nil, fmt.Errorf("encode page token: %w", err)
		}
		entries, token = entries[:size], base64.RawURLEncoding.EncodeToString(append([]byte(orderMark), text...))
	}
	items := itemsOf(resp)
	resp.ProtoReflect().Clear(items)
	to := resp.ProtoReflect().Mutable(items).List()
	for _, e := range entries {
		to.Append(e.item)
	}
	set(resp, "next_page_token", protoreflect.ValueOfString(token))
	return resp, nil
}

func parseOrderToken(token string) (orderToken, error) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return orderToken{}, fmt.Errorf("decode page token: %w", err)
	}
	rest, ok := strings.CutPrefix(string(text), orderMark)
	if !ok {
		return orderToken{}, errOrderToken
	}
	var t orderToken
	if err := json.Unmarshal([]byte(rest), &t); err != nil {
		return orderToken{}, fmt.Errorf("decode page token: %w", err)
	}
	return t, nil
}
