package account

// Seat is a member's place in its account. Guarded by the account's mutex.
type Seat struct {
	member     Member
	prev, next *Seat
	user       *seatedUser // nil if the user has no limits of its own
}

// members is a list in the order of joining: who joins or leaves costs the same
// however many there are, and a member holds nothing but its seat. Guarded by
// the account's mutex.
type members struct {
	first, last *Seat
	n           int
}

func (l *members) add(m Member) {
	s := m.Seat()
	*s = Seat{member: m, prev: l.last}
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
	l.n++
}

// remove reports whether m had a seat here.
func (l *members) remove(m Member) bool {
	s := m.Seat()
	if s.prev == nil && l.first != s || s.prev != nil && s.prev.next != s {
		return false
	}
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	*s = Seat{}
	l.n--
	return true
}

// all returns the members, the oldest first.
func (l *members) all() []Member {
	out := make([]Member, 0, l.n)
	for s := l.first; s != nil; s = s.next {
		out = append(out, s.member)
	}
	return out
}
