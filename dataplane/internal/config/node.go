package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// token is what the parser wraps a value in, to say where it is from.
type token interface {
	Value() any
	Line() int
	Position() int
	SourceFile() string
	IsUsedVariable() bool
}

// node is a value with its place.
type node struct {
	key       string
	value     any
	file      string
	line, pos int
	variable  bool // something refers to it
}

// child returns the node of a value inside n. A value without a place, such as
// one from the environment, has that of n.
func (n node) child(key string, v any) node {
	c := node{key: key, value: v, file: n.file, line: n.line, pos: n.pos}
	for {
		t, ok := c.value.(token)
		if !ok {
			return c
		}
		c.value = t.Value()
		if t.SourceFile() != "" {
			c.file = t.SourceFile()
		}
		c.line, c.pos, c.variable = t.Line(), t.Position(), c.variable || t.IsUsedVariable()
	}
}

// members returns the entries of a map in the order of the file.
func (n node) members() ([]node, bool) {
	m, ok := n.value.(map[string]any)
	if !ok {
		return nil, false
	}
	all := make([]node, 0, len(m))
	for k, v := range m {
		all = append(all, n.child(k, v))
	}
	slices.SortFunc(all, func(a, b node) int {
		return cmp.Or(strings.Compare(a.file, b.file), cmp.Compare(a.line, b.line), cmp.Compare(a.pos, b.pos), strings.Compare(a.key, b.key))
	})
	return all, true
}

// elements returns the entries of an array.
func (n node) elements() ([]node, bool) {
	a, ok := n.value.([]any)
	if !ok {
		return nil, false
	}
	all := make([]node, len(a))
	for i, v := range a {
		all[i] = n.child(n.key, v)
	}
	return all, true
}

// reader collects problems while a tree is read.
type reader struct {
	problems Problems
	warnings Problems
	// defined are the top-level keys that were there, by their first name.
	defined map[string]node
}

func (r *reader) problem(n node, format string, args ...any) {
	r.problems = append(r.problems, Problem{n.file, n.line, n.pos, fmt.Sprintf(format, args...)})
}

func (r *reader) warn(n node, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{n.file, n.line, n.pos, fmt.Sprintf(format, args...)})
}

// table says how each key of a block is read.
type table map[string]func(node)

// add puts a key and its other names in.
func (t table) add(read func(node), names ...string) {
	for _, name := range names {
		t[name] = read
	}
}

// block reads a map by a table.
func (r *reader) block(n node, t table) {
	members, ok := n.members()
	if !ok {
		r.problem(n, "%s must be a block, not %s", n.key, kind(n.value))
		return
	}
	for _, m := range members {
		read := t[strings.ToLower(m.key)]
		switch {
		case read != nil:
			read(m)
		case !m.variable:
			r.problem(m, "unknown field %q", m.key)
		}
	}
}

// unsupported refuses a key that is known but not supported.
func (r *reader) unsupported(n node) { r.problem(n, "%q is not supported yet", n.key) }

// unsupportedUnless refuses a key unless it has a value that asks for nothing.
func (r *reader) unsupportedUnless(harmless ...any) func(node) {
	return func(n node) {
		if !slices.Contains(harmless, n.value) {
			r.unsupported(n)
		}
	}
}

func kind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a number"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date"
	case []any:
		return "an array"
	case map[string]any:
		return "a block"
	}
	return fmt.Sprintf("%T", v)
}
