// Package filter reads filters of lists, a part of AIP-160, and applies them to
// the messages of a list.
//
//	state = ACTIVE AND create_time > "2026-01-01T00:00:00Z"
//	display_name = "Shop*" OR NOT delete_protection = true
//	role_bindings.role : owner
//
// A comparison is a field, an operator and a value: = != < <= > >= and `:`,
// which for a repeated field means "has one that equals" and for others the
// same as =. Text may begin and end in *, which stands for anything; the value *
// alone asks whether the field is set. OR binds tighter than AND, as AIP-160
// has it; NOT, - and parentheses work as usual.
//
// The package knows nothing of the store: whoever lists applies a filter to
// what it read. A Filter is immutable.
package filter

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/coveymq/covey/internal/errs"
)

const (
	textMax  = 2000 // bytes of a filter
	depthMax = 20   // parentheses and NOTs inside one another
)

// Filter decides about messages of one type. The nil Filter takes them all.
type Filter struct{ root node }

// node is a part of a filter.
type node interface {
	matches(m protoreflect.Message) bool
}

// Parse reads a filter for messages of a type. An empty one is nil.
func Parse(text string, of protoreflect.MessageDescriptor) (*Filter, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no filter is a filter
	}
	if len(text) > textMax {
		return nil, refuse(0, "the filter is longer than %d bytes", textMax)
	}
	tokens, err := scan(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, of: of, end: len(text)}
	root, err := p.all(0)
	if err != nil {
		return nil, err
	}
	if t, more := p.peek(); more {
		return nil, refuse(t.at, "%q was not expected", t.text)
	}
	return &Filter{root: root}, nil
}

// Matches reports whether a message is one that the filter wants.
func (f *Filter) Matches(m proto.Message) bool { return f == nil || f.root.matches(m.ProtoReflect()) }

func refuse(at int, format string, args ...any) *errs.Error {
	e := errs.New(errs.Invalid, "INVALID_FILTER", format, args...).WithField("filter")
	e.Message += ", at position " + itoa(at+1) + " of the filter"
	return e.WithNext(`filters look like: state = ACTIVE AND display_name = "Shop*"`)
}

// and wants all of its parts.
type and []node

func (a and) matches(m protoreflect.Message) bool {
	for _, n := range a {
		if !n.matches(m) {
			return false
		}
	}
	return true
}

// or wants one of its parts.
type or []node

func (o or) matches(m protoreflect.Message) bool {
	for _, n := range o {
		if n.matches(m) {
			return true
		}
	}
	return false
}

// not wants what its part does not.
type not struct{ node }

func (n not) matches(m protoreflect.Message) bool { return !n.node.matches(m) }
