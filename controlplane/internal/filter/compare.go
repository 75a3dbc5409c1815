package filter

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

const timestampName = protoreflect.FullName("google.protobuf.Timestamp")

// comparison compares one field with a value.
type comparison struct {
	path []protoreflect.FieldDescriptor
	op   string
	// order tells how a value of the field stands to the wanted one; equal is
	// nil unless equality is more than order.
	order func(protoreflect.Value) int
	equal func(protoreflect.Value) bool
	set   bool // only whether the field is set is asked
}

func newComparison(path []protoreflect.FieldDescriptor, op, value token) (node, error) {
	c := comparison{path: path, op: op.text}
	field := path[len(path)-1]
	if value.is("*") {
		c.set = true
		if c.op != "=" && c.op != ":" && c.op != "!=" {
			return nil, refuse(op.at, "%q does not go with *", op.text)
		}
		return c, nil
	}
	if err := c.want(field, value); err != nil {
		return nil, err
	}
	if c.order == nil && c.op != "=" && c.op != "!=" && c.op != ":" {
		return nil, refuse(op.at, "%q has no order", field.Name())
	}
	return c, nil
}

// want reads the value as the field's kind has it.
func (c *comparison) want(field protoreflect.FieldDescriptor, value token) error {
	if m := field.Message(); m != nil {
		if m.FullName() == timestampName {
			return c.time(value)
		}
		return refuse(value.at, "%q has fields of its own", field.Name())
	}
	switch field.Kind() {
	case protoreflect.StringKind:
		c.text(value)
		return nil
	case protoreflect.EnumKind:
		return c.enum(field.Enum(), value)
	case protoreflect.BoolKind:
		return c.boolean(value)
	case protoreflect.Int64Kind, protoreflect.Int32Kind:
		return c.number(value)
	default:
		return refuse(value.at, "%q cannot be compared", field.Name())
	}
}

func (c *comparison) text(value token) {
	c.order = func(v protoreflect.Value) int { return cmp.Compare(v.String(), value.text) }
	want := value.text
	open, closed := strings.HasPrefix(want, "*"), strings.HasSuffix(want, "*")
	if !open && !closed {
		return
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(want, "*"), "*")
	c.equal = func(v protoreflect.Value) bool {
		switch got := v.String(); {
		case open && closed:
			return strings.Contains(got, bare)
		case open:
			return strings.HasSuffix(got, bare)
		default:
			return strings.HasPrefix(got, bare)
		}
	}
}

func (c *comparison) time(value token) error {
	want, err := time.Parse(time.RFC3339, value.text)
	if err != nil {
		return refuse(value.at, "%q is no time like 2026-01-31T12:00:00Z", value.text)
	}
	c.order = func(v protoreflect.Value) int {
		m := v.Message()
		fields := m.Descriptor().Fields()
		return time.Unix(m.Get(fields.ByName("seconds")).Int(), m.Get(fields.ByName("nanos")).Int()).Compare(want)
	}
	return nil
}

// enum knows values by their full name, or without what all of them begin with.
func (c *comparison) enum(e protoreflect.EnumDescriptor, value token) error {
	prefix := strings.TrimSuffix(string(e.Values().Get(0).Name()), "UNSPECIFIED")
	wanted := strings.ToUpper(strings.ReplaceAll(value.text, "-", "_"))
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		if name := string(v.Name()); i > 0 && (name == wanted || name == prefix+wanted) {
			c.equal = func(got protoreflect.Value) bool { return got.Enum() == v.Number() }
			return nil
		}
	}
	return refuse(value.at, "%q is none of the values of %s", value.text, e.Name())
}

func (c *comparison) boolean(value token) error {
	want, err := strconv.ParseBool(value.text)
	if err != nil {
		return refuse(value.at, "%q is neither true nor false", value.text)
	}
	c.equal = func(v protoreflect.Value) bool { return v.Bool() == want }
	return nil
}

func (c *comparison) number(value token) error {
	want, err := strconv.ParseInt(value.text, 10, 64)
	if err != nil {
		return refuse(value.at, "%q is no whole number", value.text)
	}
	c.order = func(v protoreflect.Value) int { return cmp.Compare(v.Int(), want) }
	return nil
}

func (c comparison) matches(m protoreflect.Message) bool {
	if c.op == "!=" { // not one of them is equal
		c.op = "="
		return !c.any(m, c.path)
	}
	return c.any(m, c.path)
}

// any reports whether a value at the end of the path is as wanted. A field that
// is not set is as wanted only if its zero value is, or, being a message or an
// optional number, never.
func (c comparison) any(m protoreflect.Message, path []protoreflect.FieldDescriptor) bool {
	field := path[0]
	switch {
	case field.IsList():
		list := m.Get(field).List()
		for i := range list.Len() {
			if c.step(list.Get(i), path) {
				return true
			}
		}
		return false
	case field.HasPresence() && !m.Has(field):
		return false
	case c.set && len(path) == 1:
		return m.Has(field)
	}
	return c.step(m.Get(field), path)
}

func (c comparison) step(v protoreflect.Value, path []protoreflect.FieldDescriptor) bool {
	if len(path) > 1 {
		return c.any(v.Message(), path[1:])
	}
	return c.set || c.holds(v)
}

func (c comparison) holds(v protoreflect.Value) bool {
	switch c.op {
	case "=", ":":
		if c.equal != nil {
			return c.equal(v)
		}
		return c.order(v) == 0
	case "<":
		return c.order(v) < 0
	case "<=":
		return c.order(v) <= 0
	case ">":
		return c.order(v) > 0
	}
	return c.order(v) >= 0
}
