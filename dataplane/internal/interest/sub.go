package interest

import (
	"sync/atomic"

	"github.com/coveymq/covey/dataplane/internal/egress"
)

// Sub is one subscription of one connection. It is in at most one Index.
type Sub struct {
	// Immutable after the subscription is made.
	Dst     *egress.Conn // where its messages go
	Subject string
	Queue   string // empty for a plain subscription
	SID     string // the client's id, with a blank before and behind it
	Remote  bool   // another broker's, or not to be told to them: Watchers do not hear of it

	// Set by the owner of the connection, read by those who deliver.
	Max       atomic.Int64 // deliveries after which the subscription ends; 0 for no end
	Delivered atomic.Int64 // deliveries begun
	Weight    atomic.Int32 // of a remote queue subscription: how many members stand behind it

	// Guarded by the index's mutex.
	home *set
	pos  int
}

// set is a group of subscriptions that can be read without a lock while one
// writer adds and removes in constant time (amortized). Readers see slots of an
// array that only grows; a removed subscription leaves a nil slot until the
// writer moves the living ones to a new array. A lone subscription needs none:
// most subjects have one.
type set struct {
	slots  atomic.Pointer[slots]
	single [1]atomic.Pointer[Sub] // the first; what readers see while there is no array
	live   int                    // guarded by the index's mutex
}

type slots struct {
	n   atomic.Int32 // how many of sub are in use
	sub []atomic.Pointer[Sub]
}

// All returns the slots to read; some of them may be empty.
func (s *set) all() []atomic.Pointer[Sub] {
	a := s.slots.Load()
	if a == nil {
		return s.single[:]
	}
	return a.sub[:a.n.Load()]
}

// empty reports that there is nobody, perhaps; a reader need not look.
func (s *set) empty() bool { return s.slots.Load() == nil && s.single[0].Load() == nil }

func (s *set) add(sub *Sub) {
	sub.home = s
	a := s.slots.Load()
	if a == nil && s.live == 0 {
		s.single[0].Store(sub)
		s.live++
		return
	}
	if a == nil || int(a.n.Load()) == len(a.sub) {
		a = s.move(1)
	}
	n := a.n.Load()
	sub.pos = int(n)
	a.sub[n].Store(sub)
	a.n.Store(n + 1)
	s.live++
}

// compactBelow is the length under which empty slots are not worth moving for.
const compactBelow = 8

func (s *set) remove(sub *Sub) {
	sub.home = nil
	s.live--
	// The first stays readable here for those who came before there was an array.
	s.single[0].CompareAndSwap(sub, nil)
	a := s.slots.Load()
	if a == nil {
		return
	}
	a.sub[sub.pos].Store(nil)
	if n := int(a.n.Load()); s.live == 0 {
		s.slots.Store(nil)
	} else if n > compactBelow && s.live < n/2 {
		s.move(0)
	}
}

// move copies the living subscriptions to a new array with room for at least
// extra more, and publishes it.
func (s *set) move(extra int) *slots {
	size := s.live + extra
	if size > 1 {
		size += size / 2
	}
	b := &slots{sub: make([]atomic.Pointer[Sub], size)}
	i := 0
	for j := range s.all() {
		if sub := s.all()[j].Load(); sub != nil {
			sub.pos = i
			b.sub[i].Store(sub)
			i++
		}
	}
	b.n.Store(int32(i))
	s.slots.Store(b)
	return b
}
