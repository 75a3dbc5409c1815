package interest

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// Index holds the subscriptions of one account. The zero value is not usable;
// call New.
type Index struct {
	// Immutable after New.
	seed maphash.Seed

	// Read without locks, written under mu.
	literal table // subjects without wildcards
	wild    level // a trie of the others
	wilds   atomic.Int64
	version atomic.Uint64 // counts changes, each when it is done

	mu      sync.Mutex
	count   int64   // local subscriptions; guarded by mu, as is all below
	inserts uint64  // ever
	watch   Watcher // nil if nobody does
}

// level is one level of the wildcard trie.
type level struct {
	tokens table
	one    atomic.Pointer[entry] // `*`
	rest   atomic.Pointer[entry] // `>`
}

// New returns an empty index.
func New() *Index { return &Index{seed: maphash.MakeSeed()} }

// Count returns the number of subscriptions of our own clients.
func (x *Index) Count() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count
}

// Version changes with whatever a Match that began before would not find.
func (x *Index) Version() uint64 { return x.version.Load() }

// Changes returns how many subscriptions were ever added and removed.
func (x *Index) Changes() (added, removed uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.inserts, x.inserts - uint64(x.count) //nolint:gosec // never negative
}

// Add puts a subscription in. It reports false, and does nothing, if the
// subject is not valid.
func (x *Index) Add(sub *Sub) bool {
	if !subject.Valid(sub.Subject()) {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.version.Add(1)
	if !subject.HasWildcard(sub.Subject()) {
		x.added(x.literal.put(x.seed, sub.Subject()), sub)
		return true
	}
	x.added(x.descend(sub.Subject()), sub)
	x.wilds.Add(1)
	return true
}

func (x *Index) added(e *entry, sub *Sub) {
	local := e.add(sub)
	if sub.remote {
		return
	}
	if !sub.own {
		x.count++
		x.inserts++
	}
	if x.watch != nil && (local == 1 || sub.Queue() != "") {
		x.watch.Interest(sub.Subject(), sub.Queue(), local)
	}
}

func (x *Index) removed(e *entry, sub *Sub) {
	local := e.remove(sub)
	if sub.remote {
		return
	}
	if !sub.own {
		x.count--
	}
	if x.watch != nil && (local == 0 || sub.Queue() != "") {
		x.watch.Interest(sub.Subject(), sub.Queue(), local)
	}
}

// descend returns the entry of a wildcard subject, made if need be.
func (x *Index) descend(s string) *entry {
	at := &x.wild
	for {
		token, tail, more := subject.Next(s)
		var e *entry
		switch {
		case subject.IsOne(token):
			e = makeAt(&at.one)
		case subject.IsRest(token):
			e = makeAt(&at.rest)
		default:
			e = at.tokens.put(x.seed, token)
		}
		if !more {
			return e
		}
		if e.kids.Load() == nil {
			e.kids.Store(&level{})
		}
		at, s = e.kids.Load(), tail
	}
}

func makeAt(p *atomic.Pointer[entry]) *entry {
	if p.Load() == nil {
		p.Store(&entry{})
	}
	return p.Load()
}

// Remove takes a subscription out. It reports false if it was not in.
func (x *Index) Remove(sub *Sub) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if sub.home == nil {
		return false
	}
	defer x.version.Add(1)
	if !subject.HasWildcard(sub.Subject()) {
		e := x.literal.get(x.seed, []byte(sub.Subject()))
		if x.removed(e, sub); e.unused() {
			x.literal.remove(e)
		}
		return true
	}
	x.prune(&x.wild, sub.Subject(), sub)
	x.wilds.Add(-1)
	return true
}

// prune removes sub below at, along the path s, and every entry on that path
// that leads nowhere any more.
func (x *Index) prune(at *level, s string, sub *Sub) {
	token, tail, more := subject.Next(s)
	var slot *atomic.Pointer[entry]
	var e *entry
	switch {
	case subject.IsOne(token):
		slot = &at.one
	case subject.IsRest(token):
		slot = &at.rest
	default:
		e = at.tokens.get(x.seed, []byte(token))
	}
	if slot != nil {
		e = slot.Load()
	}
	if more {
		kids := e.kids.Load()
		if x.prune(kids, tail, sub); kids.empty() {
			e.kids.Store(nil)
		}
	} else {
		x.removed(e, sub)
	}
	if !e.unused() || e.kids.Load() != nil {
		return
	}
	if slot != nil {
		slot.Store(nil)
	} else {
		at.tokens.remove(e)
	}
}

func (l *level) empty() bool {
	return l.tokens.live == 0 && l.one.Load() == nil && l.rest.Load() == nil
}

// add puts sub in and returns how many local ones there are now that count as
// one interest: the plain ones, or the members of its group.
func (e *entry) add(sub *Sub) int {
	if sub.Queue() == "" {
		e.plain.add(sub)
		if !sub.remote {
			e.local++
		}
		return int(e.local)
	}
	g := e.group(sub.Queue())
	if sub.remote {
		g.remote.add(sub)
	} else {
		g.set.add(sub)
	}
	return int(g.set.live)
}

// group returns the group of a name, made if need be.
func (e *entry) group(name string) *group {
	var groups []*group
	if p := e.queues.Load(); p != nil {
		groups = *p
	}
	for _, g := range groups {
		if g.name == name {
			return g
		}
	}
	g := &group{name: name}
	next := append(slices.Clone(groups), g)
	e.queues.Store(&next)
	return g
}

// remove undoes add, and returns what add returns.
func (e *entry) remove(sub *Sub) int {
	sub.home.remove(sub)
	if sub.Queue() == "" {
		if !sub.remote {
			e.local--
		}
		return int(e.local)
	}
	g := e.group(sub.Queue())
	if g.set.live > 0 || g.remote.live > 0 {
		return int(g.set.live)
	}
	groups := *e.queues.Load()
	if len(groups) == 1 {
		e.queues.Store(nil)
		return 0
	}
	next := slices.DeleteFunc(slices.Clone(groups), func(o *group) bool { return o == g })
	e.queues.Store(&next)
	return 0
}

// Each calls visit for every subscription, remote ones too, until it returns false. Subscriptions
// that come or go meanwhile may or may not be seen.
func (x *Index) Each(visit func(*Sub) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	stop := false
	each := func(e *entry) { stop = stop || !e.each(visit) }
	x.literal.each(each)
	x.wild.each(each)
}

func (l *level) each(visit func(*entry)) {
	below := func(e *entry) {
		visit(e)
		if kids := e.kids.Load(); kids != nil {
			kids.each(visit)
		}
	}
	l.tokens.each(below)
	for _, p := range []*atomic.Pointer[entry]{&l.one, &l.rest} {
		if e := p.Load(); e != nil {
			below(e)
		}
	}
}

func (e *entry) each(visit func(*Sub) bool) bool {
	sets := []*set{&e.plain}
	if p := e.queues.Load(); p != nil {
		for _, g := range *p {
			sets = append(sets, &g.set, &g.remote)
		}
	}
	for _, s := range sets {
		all := s.all()
		for i := range all {
			if sub := all[i].Load(); sub != nil && !visit(sub) {
				return false
			}
		}
	}
	return true
}
