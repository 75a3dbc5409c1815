package account

import (
	"slices"

	"github.com/coveymq/covey/dataplane/internal/share"
	"github.com/coveymq/covey/dataplane/internal/subject"
	"github.com/coveymq/covey/dataplane/internal/transform"
)

// Link is an import with the account that it is from.
type Link struct {
	*share.Link
	From *Account
}

// Links are what an account shares with others and how it rewrites subjects, as
// it is in force now. Immutable.
type Links struct {
	Mappings *transform.Mappings // nil for none
	Streams  []*Link
	Services []*Link

	literal map[string][]*Link // services, by the subject here
	wild    map[string][]*Link // by its first token; "" if that is a wildcard
	faults  []string           // why an import is not in force
}

// Links returns what is in force; nil for an account that keeps to itself, so
// that its messages pay for no more than asking.
func (a *Account) Links() *Links { return a.links.Load() }

// link puts in force what a state says about the account alone; the registry
// does the rest.
func (a *Account) link(s *State) {
	next := &Links{}
	if was := a.links.Load(); was != nil {
		*next = *was
	}
	if next.Mappings = nil; s.Terms != nil {
		next.Mappings = s.Terms.Mappings
	}
	if s.Terms == nil && len(next.Streams)+len(next.Services) == 0 {
		next = nil
	}
	a.links.Store(next)
}

// newLinks returns the links of an account with some terms.
func newLinks(t *share.Terms, all []*Link, faults []string) *Links {
	if t == nil {
		return nil
	}
	l := &Links{Mappings: t.Mappings, faults: faults}
	for _, link := range all {
		if link.Import.Kind == share.Stream {
			l.Streams = append(l.Streams, link)
			continue
		}
		l.Services = append(l.Services, link)
		if !subject.HasWildcard(link.Local) {
			if l.literal == nil {
				l.literal = make(map[string][]*Link)
			}
			l.literal[link.Local] = append(l.literal[link.Local], link)
			continue
		}
		if l.wild == nil {
			l.wild = make(map[string][]*Link)
		}
		first, _, _ := subject.Next(link.Local)
		if subject.IsOne(first) || subject.IsRest(first) {
			first = ""
		}
		l.wild[first] = append(l.wild[first], link)
	}
	return l
}

// ServicesFor appends the service imports that a published subject matches.
func (l *Links) ServicesFor(dst []*Link, s []byte) []*Link {
	dst = append(dst, l.literal[string(s)]...)
	if l.wild == nil {
		return dst
	}
	first, _, _ := subject.Next(s)
	dst = appendMatching(dst, l.wild[string(first)], s)
	return appendMatching(dst, l.wild[""], s)
}

func appendMatching(dst, links []*Link, s []byte) []*Link {
	for _, link := range links {
		if subject.MatchesLiteral(s, link.Local) {
			dst = append(dst, link)
		}
	}
	return dst
}

// Faults says which imports are not in force, and why.
func (l *Links) Faults() []string {
	if l == nil {
		return nil
	}
	return l.faults
}

// all returns the links; call it on nil, too.
func (l *Links) all() []*Link {
	if l == nil {
		return nil
	}
	return append(slices.Clone(l.Streams), l.Services...)
}

func (l *Links) streams() []*Link {
	if l == nil {
		return nil
	}
	return l.Streams
}

// Importer is a member that has subscriptions in the accounts it imports from.
type Importer interface {
	// Reimport makes them those that the account's links say now.
	Reimport()
}

// relink puts links in force, for the members as well.
func (a *Account) relink(l *Links) {
	was := a.links.Swap(l)
	if slices.Equal(was.streams(), l.streams()) {
		return
	}
	a.mu.Lock()
	members := a.members.all()
	a.mu.Unlock()
	for _, m := range members {
		if i, ok := m.(Importer); ok {
			i.Reimport()
		}
	}
}

// side is the account as those see it that import from it.
func (a *Account) side() *share.Side {
	s := a.State()
	out := &share.Side{Key: a.Key, Terms: s.Terms, Signs: func(key string) bool {
		_, ok := s.Signers[key]
		return ok
	}}
	for _, link := range a.links.Load().all() {
		out.Links = append(out.Links, link.Link)
	}
	return out
}

// Of returns the link of an import; nil if that is not in force.
func (l *Links) Of(im *share.Import) *Link {
	for _, link := range l.all() {
		if link.Import.Same(im) {
			return link
		}
	}
	return nil
}
