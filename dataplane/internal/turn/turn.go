// Package turn shares the processors among accounts when they are short.
//
// Who has little to do does it at once: nobody asks for a turn before a quantum
// of work is done without a break. Who has more to do takes a turn for each
// further quantum. There is a turn per processor; while one is free it costs an
// atomic addition. When none is, accounts take turns by weighted deficit round
// robin, and within an account connections do in the order in which they came.
package turn

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Quantum is how much work is done in one turn while others wait for one, in
// deliveries or what costs about as much: about a millisecond. It bounds how long
// they wait. A shorter one would end batches so early that a fan-out to many is
// written in very small pieces.
const Quantum = 8192

// Turns hands out turns. The zero value has one for each processor.
type Turns struct {
	most  atomic.Int64 // turns at a time; 0 before somebody asked
	taken atomic.Int64 // those and the ones who wait for one

	waiters sync.Pool // of *waiter

	mu          sync.Mutex
	first, last *Share // accounts that wait, a ring cut open; guarded by mu, as is all below
	granted     int    // turns for those who wait and are not in the ring yet
}

// Share is an account's part in the turns. The zero value has the weight 1.
type Share struct {
	weight atomic.Int64

	// Guarded by the mutex of Turns.
	credit     int64 // work that may be done before others come first
	head, tail *waiter
	next       *Share
	waits      bool
}

type waiter struct {
	turn chan struct{}
	next *waiter
}

// SetWeight says how much an account gets beside others; 0 is for 1.
func (s *Share) SetWeight(n int64) { s.weight.Store(n) }

func (s *Share) quantum() int64 { return max(1, s.weight.Load()) * Quantum }

// SetMost says how many turns there are at a time, for tests.
func (t *Turns) SetMost(n int) { t.most.Store(int64(n)) }

// Taken returns how many turns are taken or waited for.
func (t *Turns) Taken() int { return int(t.taken.Load()) }

func (t *Turns) limit() int64 {
	n := t.most.Load()
	if n == 0 {
		n = int64(runtime.GOMAXPROCS(0))
		t.most.Store(n)
	}
	return n
}

// Try takes a turn if one is free. Each turn needs one End.
func (t *Turns) Try() bool {
	most := t.limit()
	for n := t.taken.Load(); n < most; n = t.taken.Load() {
		if t.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
	return false
}

// Wanted reports whether anybody waits for a turn.
func (t *Turns) Wanted() bool { return t.taken.Load() > t.limit() }

// Begin takes a turn, and waits for it if need be. Each turn needs one End.
func (t *Turns) Begin(s *Share) {
	if t.taken.Add(1) <= t.limit() {
		return
	}
	t.mu.Lock()
	if t.granted > 0 {
		t.granted--
		t.mu.Unlock()
		return
	}
	w, ok := t.waiters.Get().(*waiter)
	if !ok {
		w = &waiter{turn: make(chan struct{}, 1)}
	}
	s.add(w)
	if !s.waits {
		s.waits = true
		s.credit = min(s.credit, 0) + s.quantum()
		t.append(s)
	}
	t.mu.Unlock()
	<-w.turn
	t.waiters.Put(w)
}

// End gives a turn back in which that much work was done.
func (t *Turns) End(s *Share, work int) {
	if t.taken.Add(-1) < t.limit() {
		return
	}
	t.mu.Lock()
	s.credit = max(s.credit-int64(work), -debtMax)
	w := t.pick()
	if w == nil {
		t.granted++
	}
	t.mu.Unlock()
	if w != nil {
		w.turn <- struct{}{}
	}
}

// debtMax bounds how long an account pays for one turn that took too much.
const debtMax = 64 * Quantum

// Next ends a turn and takes another one. Whoever is ready to run goes first.
func (t *Turns) Next(s *Share, work int) {
	t.End(s, work)
	runtime.Gosched()
	t.Begin(s)
}

func (t *Turns) append(s *Share) {
	if s.next = nil; t.last == nil {
		t.first = s
	} else {
		t.last.next = s
	}
	t.last = s
}

func (t *Turns) shift() *Share {
	s := t.first
	if t.first = s.next; t.first == nil {
		t.last = nil
	}
	s.next = nil
	return s
}

// pick returns who is next; nil if nobody waits yet.
func (t *Turns) pick() *waiter {
	for t.first != nil {
		s := t.first
		if s.credit <= 0 && s.next != nil {
			s.credit += s.quantum()
			t.append(t.shift())
			continue
		}
		w := s.take()
		switch {
		case s.head == nil:
			t.shift()
			s.waits = false
		case s.next != nil && s.credit <= Quantum:
			// Its turn is under way and will use that up: others come now.
			s.credit += s.quantum()
			t.append(t.shift())
		}
		return w
	}
	return nil
}

func (s *Share) add(w *waiter) {
	if w.next = nil; s.tail == nil {
		s.head = w
	} else {
		s.tail.next = w
	}
	s.tail = w
}

func (s *Share) take() *waiter {
	w := s.head
	if s.head = w.next; s.head == nil {
		s.tail = nil
	}
	w.next = nil
	return w
}
