package interest

import (
	"sync/atomic"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// Result is what a Match found. It is a scratch space to be used again and
// again by one goroutine; what it holds is valid until its next use.
type Result struct {
	found  []*entry
	groups []Group
}

// Group is the members of a queue group that one message may go to; it goes to
// one of them.
type Group struct {
	Name string
	// The arrays as they were when the group was found: a member that is there
	// all the time stays where it is in them, however the writer moves it.
	arrays [][]atomic.Pointer[Sub]
	remote [][]atomic.Pointer[Sub] // other brokers' members, likewise
}

// Match fills r with the subscriptions to a literal subject. An invalid subject
// (an empty token) matches nothing. It takes no lock, and allocates only while
// r grows.
func (x *Index) Match(s []byte, r *Result) {
	r.found = r.found[:0]
	r.groups = r.groups[:0]
	if e := x.literal.get(x.seed, s); e != nil {
		r.found = append(r.found, e)
	}
	if x.wilds.Load() > 0 && subject.Whole(s) {
		x.matchLevel(&x.wild, s, r)
	}
	for _, e := range r.found {
		if queues := e.queues.Load(); queues != nil {
			r.addGroups(*queues)
		}
	}
}

func (x *Index) matchLevel(at *level, s []byte, r *Result) {
	if e := at.rest.Load(); e != nil {
		r.found = append(r.found, e)
	}
	token, tail, more := subject.Next(s)
	if e := at.one.Load(); e != nil {
		x.matchBelow(e, tail, more, r)
	}
	if e := at.tokens.get(x.seed, token); e != nil {
		x.matchBelow(e, tail, more, r)
	}
}

func (x *Index) matchBelow(e *entry, tail []byte, more bool, r *Result) {
	if !more {
		r.found = append(r.found, e)
	} else if kids := e.kids.Load(); kids != nil {
		x.matchLevel(kids, tail, r)
	}
}

// addGroups merges the groups of one subject into the result: members of a
// group that subscribed by different subjects are one group.
func (r *Result) addGroups(groups []*group) {
next:
	for _, g := range groups {
		for i := range r.groups {
			if r.groups[i].Name == g.name {
				r.groups[i].add(g)
				continue next
			}
		}
		n := len(r.groups)
		if n < cap(r.groups) {
			r.groups = r.groups[:n+1]
		} else {
			r.groups = append(r.groups, Group{})
		}
		r.groups[n].Name = g.name
		r.groups[n].arrays, r.groups[n].remote = r.groups[n].arrays[:0], r.groups[n].remote[:0]
		r.groups[n].add(g)
	}
}

func (g *Group) add(from *group) {
	g.arrays = append(g.arrays, from.set.all())
	if !from.remote.empty() {
		g.remote = append(g.remote, from.remote.all())
	}
}

// Empty reports that nobody is interested. False says only that somebody may be.
func (r *Result) Empty() bool { return len(r.found) == 0 }

// Plain returns the number of arrays of plain subscriptions; see PlainAt.
func (r *Result) Plain() int { return len(r.found) }

// PlainAt returns the i-th array of plain subscriptions. Slots may be nil.
func (r *Result) PlainAt(i int) []atomic.Pointer[Sub] { return r.found[i].plain.all() }

// Groups returns the queue groups.
func (r *Result) Groups() []Group { return r.groups }

// Pick returns a local member of the group that accept takes, starting from the one
// that random points to and going round; nil if there is none.
func (g *Group) Pick(random uint64, accept func(*Sub) bool) *Sub {
	total := 0
	for _, subs := range g.arrays {
		total += len(subs)
	}
	if total == 0 {
		return nil
	}
	start := int(random % uint64(total))
	for i := range total {
		if sub := g.at((start + i) % total); sub != nil && accept(sub) {
			return sub
		}
	}
	return nil
}

func (g *Group) at(i int) *Sub {
	for _, subs := range g.arrays {
		if i < len(subs) {
			return subs[i].Load()
		}
		i -= len(subs)
	}
	return nil
}
