package interest

// Watcher hears of the interest of an account's own clients, in order. It is
// called with the index's mutex held: it must not block, nor use the index.
type Watcher interface {
	// Interest says that there is interest in a subject now, or, with members 0,
	// that there is none any more. For a queue group it says how many members it
	// has, whenever that changes; for plain subscriptions members beyond the first
	// are not told.
	Interest(subject, queue string, members int)
}

// Watch makes w, and nobody else, hear of every change from now on. Nil ends
// that. While the index cannot change, then is called with a function that
// visits all local interest there is.
func (x *Index) Watch(w Watcher, then func(each func(visit func(subject, queue string, members int)))) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.watch = w
	then(x.eachInterest)
}

func (x *Index) eachInterest(visit func(subject, queue string, members int)) {
	each := func(e *entry) { e.interest(visit) }
	x.literal.each(each)
	x.wild.each(each)
}

func (e *entry) interest(visit func(subject, queue string, members int)) {
	if e.local > 0 {
		visit(e.plain.local().Subject(), "", int(e.local))
	}
	if queues := e.queues.Load(); queues != nil {
		for _, g := range *queues {
			if g.set.live > 0 {
				visit(g.set.local().Subject(), g.name, int(g.set.live))
			}
		}
	}
}

// local returns a local subscription of the set, which must have one.
func (s *set) local() *Sub {
	all := s.all()
	for i := range all {
		if sub := all[i].Load(); sub != nil && !sub.remote {
			return sub
		}
	}
	return nil
}

// PickRemote returns another broker's subscription of the group that accept
// takes, with chances by weight; nil if there is none.
func (g *Group) PickRemote(random uint64, accept func(*Sub) bool) *Sub {
	total := uint64(0)
	g.eachRemote(func(sub *Sub) bool {
		total += weight(sub)
		return true
	})
	if total == 0 {
		return nil
	}
	at := random % total
	var picked *Sub
	started := false
	step := func(sub *Sub) bool {
		if !started {
			if w := weight(sub); at >= w {
				at -= w
				return true
			}
			started = true
		}
		if accept(sub) {
			picked = sub
		}
		return picked == nil
	}
	// Once round from the one that random points to: the second lap ends where
	// the first one began, at the latest.
	if g.eachRemote(step); picked == nil {
		started = true
		g.eachRemote(step)
	}
	return picked
}

// weight is how many members stand behind a subscription, at least one.
func weight(sub *Sub) uint64 { return uint64(max(sub.Weight.Load(), 1)) }

func (g *Group) eachRemote(visit func(*Sub) bool) {
	for _, all := range g.remote {
		for i := range all {
			if sub := all[i].Load(); sub != nil && !visit(sub) {
				return
			}
		}
	}
}
