package conn

import (
	"hash/maphash"
	"iter"

	"github.com/coveymq/covey/dataplane/internal/interest"
)

// subset is the subscriptions of one connection, by their ids: a hash table of
// pointers, because the key is in the subscription already. Beside each pointer
// is a byte of its hash, so that looking for one touches few others. A nil
// subset is empty.
type subset struct {
	slots []*interest.Sub // a power of two of them; probed linearly
	tags  []uint8         // 0 for an empty slot
	n     int
}

const (
	subsetMin = 2
	// At most seven of eight slots are in use: there always is an empty one.
	subsetFull, subsetOf = 7, 8
)

var subsetSeed = maphash.MakeSeed() //nolint:gochecknoglobals // one for the process, never written

// place returns where the probing for an id begins, and its tag.
func (s *subset) place(sid string) (at int, tag uint8) {
	h := maphash.String(subsetSeed, sid)
	return int(h) & (len(s.slots) - 1), uint8(h>>56) | 1 //nolint:gosec // bits
}

// find returns the slot of an id, or the empty one where it would be.
func (s *subset) find(sid string) (at int, tag uint8) {
	at, tag = s.place(sid)
	for s.tags[at] != 0 {
		if s.tags[at] == tag && s.slots[at].SID() == sid {
			return at, tag
		}
		at = (at + 1) & (len(s.slots) - 1)
	}
	return at, tag
}

// get returns the subscription with an id; nil if there is none.
func (s *subset) get(sid string) *interest.Sub {
	if s == nil {
		return nil
	}
	at, _ := s.find(sid)
	return s.slots[at]
}

// len returns how many there are.
func (s *subset) len() int {
	if s == nil {
		return 0
	}
	return s.n
}

// put adds a subscription whose id is not there yet. It returns the subset, made
// if there was none.
func (s *subset) put(sub *interest.Sub) *subset {
	if s == nil {
		s = &subset{}
	}
	if subsetOf*(s.n+1) > subsetFull*len(s.slots) {
		s.grow()
	}
	at, tag := s.find(sub.SID())
	s.slots[at], s.tags[at] = sub, tag
	s.n++
	return s
}

func (s *subset) grow() {
	old := s.slots
	size := max(subsetMin, 2*len(old))
	s.slots, s.tags = make([]*interest.Sub, size), make([]uint8, size)
	for _, sub := range old {
		if sub != nil {
			at, tag := s.find(sub.SID())
			s.slots[at], s.tags[at] = sub, tag
		}
	}
}

// remove takes a subscription out. It returns the subset, nil when nothing is
// left, and whether the subscription was in.
func (s *subset) remove(sub *interest.Sub) (*subset, bool) {
	if s == nil {
		return nil, false
	}
	hole, _ := s.find(sub.SID())
	if s.slots[hole] != sub {
		return s, false
	}
	if s.n--; s.n == 0 {
		return nil, true
	}
	s.fill(hole)
	return s, true
}

// fill empties a slot and moves those behind it forward that were only there
// because it was taken.
func (s *subset) fill(hole int) {
	mask := len(s.slots) - 1
	for at := (hole + 1) & mask; s.tags[at] != 0; at = (at + 1) & mask {
		home, _ := s.place(s.slots[at].SID())
		if (at-home)&mask >= (at-hole)&mask {
			s.slots[hole], s.tags[hole] = s.slots[at], s.tags[at]
			hole = at
		}
	}
	s.slots[hole], s.tags[hole] = nil, 0
}

// all visits the subscriptions, in no order. Meanwhile none may be added or
// removed; see list.
func (s *subset) all() iter.Seq[*interest.Sub] {
	return func(yield func(*interest.Sub) bool) {
		if s == nil {
			return
		}
		for _, sub := range s.slots {
			if sub != nil && !yield(sub) {
				return
			}
		}
	}
}

// list returns at most limit of the subscriptions, in no order; a negative limit
// is none.
func (s *subset) list(limit int) []*interest.Sub {
	n := s.len()
	if limit >= 0 {
		n = min(n, limit)
	}
	out := make([]*interest.Sub, 0, n)
	for sub := range s.all() {
		if len(out) == n {
			break
		}
		out = append(out, sub)
	}
	return out
}
