package account

import "github.com/coveymq/covey/dataplane/internal/transform"

// Links are what an account shares with others and how it rewrites subjects, as
// it is in force now. Immutable.
type Links struct {
	Mappings *transform.Mappings // nil for none
}

// Links returns what is in force; nil for an account that keeps to itself, so
// that its messages pay for no more than asking.
func (a *Account) Links() *Links { return a.links.Load() }

// link puts in force what a state says about the account alone.
func (a *Account) link(s *State) {
	if s.Terms == nil || s.Terms.Mappings == nil {
		a.links.Store(nil)
		return
	}
	a.links.Store(&Links{Mappings: s.Terms.Mappings})
}
