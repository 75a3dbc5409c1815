package config

import (
	"strconv"
	"strings"

	"github.com/coveymq/covey/dataplane/internal/share"
	"github.com/coveymq/covey/dataplane/internal/subject"
	"github.com/coveymq/covey/dataplane/internal/transform"
)

// mappings reads how an account rewrites subjects: by source, a destination or
// a list of them with weights.
func (f *file) mappings(n node, terms **share.Terms) {
	members, ok := n.members()
	if !ok {
		f.problem(n, "%s must be a block of subjects, not %s", n.key, kind(n.value))
		return
	}
	for _, m := range members {
		if m.variable {
			continue
		}
		if !subject.Valid(m.key) {
			f.problem(m, "subject %q is not a valid subject", m.key)
			continue
		}
		dests, ok := f.destinations(m)
		if !ok {
			continue
		}
		t := made(terms)
		if t.Mappings == nil {
			t.Mappings = &transform.Mappings{}
		}
		if err := t.Mappings.Add(m.key, dests...); err != nil {
			f.problem(m, "error adding mapping for %q: %v", m.key, err)
		}
	}
}

// made returns the terms of an account, made if need be.
func made(terms **share.Terms) *share.Terms {
	if *terms == nil {
		*terms = &share.Terms{}
	}
	return *terms
}

func (f *file) destinations(n node) ([]transform.Dest, bool) {
	if to, ok := n.value.(string); ok {
		return []transform.Dest{{Subject: to, Weight: 100}}, true
	}
	elements, ok := n.elements()
	if !ok {
		elements = []node{n}
	}
	before := len(f.problems)
	var dests []transform.Dest
	for _, e := range elements {
		dests = append(dests, f.destination(e))
	}
	return dests, len(f.problems) == before
}

func (f *file) destination(n node) transform.Dest {
	var d transform.Dest
	weighted := false
	n.key = "a destination of a mapping"
	t := table{}
	t.add(f.str(&d.Subject), "dest", "destination")
	t.add(f.str(&d.Cluster), "cluster")
	t.add(func(n node) {
		d.Weight = f.weight(n)
		weighted = true
	}, "weight")
	before := len(f.problems)
	if f.block(n, t); !weighted && len(f.problems) == before {
		f.problem(n, "missing weight for mapping destination %q", d.Subject)
	}
	return d
}

// weight reads a percentage, with or without its sign.
func (f *file) weight(n node) uint8 {
	var v int64
	switch w := n.value.(type) {
	case int64:
		v = w
	case string:
		i, err := strconv.ParseInt(strings.TrimSuffix(w, "%"), 10, 64)
		if err != nil {
			f.problem(n, "invalid weight %q for mapping destination", w)
			return 0
		}
		v = i
	default:
		f.problem(n, "%s must be a percentage, not %s", n.key, kind(n.value))
		return 0
	}
	if v < 0 || v > 100 {
		f.problem(n, "invalid weight %d for mapping destination", v)
		return 0
	}
	return uint8(v)
}
