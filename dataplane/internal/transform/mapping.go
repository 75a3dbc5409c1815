package transform

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// Dest is one of the destinations of a mapping.
type Dest struct {
	Subject string
	Weight  uint8  // percent
	Cluster string // where the destination holds; empty for wherever no other does
}

// Mappings choose what subjects are rewritten to. Immutable once in use.
type Mappings struct {
	all     []Mapping
	literal map[string]*mapping
	wild    []*mapping // what matches less first
}

// Mapping is one of Mappings as it was added.
type Mapping struct {
	Source string
	Dests  []Dest
}

// mapping is what a source is rewritten to.
type mapping struct {
	source   string
	dests    []choice
	clusters map[string][]choice // by a cluster's name
}

// choice is a destination with the sum of the weights up to its own.
type choice struct {
	to    *Transform
	below uint8
}

// full is all the weight there is.
const full = 100

// Add puts in a mapping, in the place of an earlier one of the same source.
// What is left to 100 percent keeps its subject, unless the source is among the
// destinations; then it is dropped.
func (m *Mappings) Add(source string, dests ...Dest) error {
	if !subject.Valid(source) {
		return ErrSubject
	}
	made := &mapping{source: source}
	seen := make(map[string]bool)
	total := make(map[string]int)
	byCluster := map[string][]choice{"": nil}
	for _, d := range dests {
		if seen[d.Subject] {
			return fmt.Errorf("duplicate entry for %q", d.Subject)
		}
		seen[d.Subject] = true
		if d.Weight > full {
			return errors.New("individual weights need to be <= 100")
		}
		if total[d.Cluster] += int(d.Weight); total[d.Cluster] > full {
			return errors.New("total weight needs to be <= 100")
		}
		to, err := NewDestination(source, d.Subject)
		if err != nil {
			return err
		}
		byCluster[d.Cluster] = append(byCluster[d.Cluster], choice{to, d.Weight})
	}
	for cluster, choices := range byCluster {
		choices, err := complete(source, choices, total[cluster], seen[source])
		if err != nil {
			return err
		}
		if cluster == "" {
			made.dests = choices
			continue
		}
		if made.clusters == nil {
			made.clusters = make(map[string][]choice)
		}
		made.clusters[cluster] = choices
	}
	m.put(made, Mapping{source, slices.Clone(dests)})
	return nil
}

// complete adds the source itself for what is left of the weights, and sums
// them up.
func complete(source string, choices []choice, total int, lossy bool) ([]choice, error) {
	if total != full && !lossy {
		to, err := New(source, Numbered(source))
		if err != nil {
			return nil, err
		}
		choices = append(choices, choice{to, uint8(full - total)}) //nolint:gosec // at most 100
	}
	slices.SortFunc(choices, func(a, b choice) int { return cmp.Compare(a.below, b.below) })
	sum := uint8(0)
	for i := range choices {
		sum += choices[i].below
		choices[i].below = sum
	}
	return choices, nil
}

func (m *Mappings) put(made *mapping, as Mapping) {
	same := func(o Mapping) bool { return o.Source == as.Source }
	m.all = append(slices.DeleteFunc(m.all, same), as)
	if !subject.HasWildcard(made.source) {
		if m.literal == nil {
			m.literal = make(map[string]*mapping)
		}
		m.literal[made.source] = made
		return
	}
	m.wild = slices.DeleteFunc(m.wild, func(o *mapping) bool { return o.source == made.source })
	at := slices.IndexFunc(m.wild, func(o *mapping) bool { return subject.Matches(made.source, o.source) })
	if at < 0 {
		at = len(m.wild)
	}
	m.wild = slices.Insert(m.wild, at, made)
}

// All returns the mappings that were added.
func (m *Mappings) All() []Mapping { return m.all }

// Select returns how a subject is rewritten this time. Mapped is false if it is
// not, and the transform is nil if the message is to be dropped. Random is one
// of 0 to 99.
func (m *Mappings) Select(s []byte, cluster func() string, random func() uint8) (to *Transform, mapped bool) {
	found := m.literal[string(s)]
	for i := 0; found == nil && i < len(m.wild); i++ {
		if subject.Matches(s, m.wild[i].source) {
			found = m.wild[i]
		}
	}
	if found == nil {
		return nil, false
	}
	dests := found.dests
	if found.clusters != nil {
		if here := found.clusters[cluster()]; here != nil {
			dests = here
		}
	}
	if len(dests) == 1 && dests[0].below == full {
		return dests[0].to, true
	}
	at := random()
	for i := range dests {
		if at < dests[i].below {
			return dests[i].to, true
		}
	}
	return nil, true
}

// NewDestination returns the transform of a mapping: unlike New's, its
// destination must not look like a function without being one, nor hold blanks.
func NewDestination(source, dest string) (*Transform, error) {
	tokens := strings.Split(dest, ".")
	for i, token := range tokens {
		switch {
		case token == "" || i < len(tokens)-1 && subject.IsRest(token):
			return nil, at(errTransform, token)
		case isCall(token):
			if !slices.ContainsFunc(functions, func(f function) bool { return f.call.MatchString(token) }) {
				return nil, at(errFunction, token)
			}
		case strings.ContainsAny(token, "\t\n\f\r "):
			return nil, errTransform
		}
	}
	return New(source, dest)
}
