package interest

import (
	"sync/atomic"

	"github.com/coveymq/covey/dataplane/internal/egress"
)

// Sub is one subscription of one connection. It is in at most one Index. There
// may be millions: it fills one cache line, with one piece of text beside it.
type Sub struct {
	// Immutable after the subscription is made.
	Dst        *egress.Conn // where its messages go
	text       string       // the subject, the id with its blanks, the queue group
	subjectLen uint32
	queueLen   uint32

	// Set by the owner of the connection, read by those who deliver.
	Max       atomic.Int32 // deliveries after which the subscription ends; 0 for no end
	Weight    atomic.Int32 // of a remote queue subscription: how many members stand behind it
	Delivered atomic.Int64 // deliveries begun

	// Guarded by the index's mutex.
	home *set
	pos  int32

	remote bool // immutable; see NewRemote
	own    bool // immutable; see NewOwn
	shadow bool // immutable; see NewShadow
}

// NewSub returns a subscription. Queue is empty for a plain one, and sid, the
// client's id, for one that is not a client's.
func NewSub[S ~string | ~[]byte](dst *egress.Conn, subject, queue, sid S) *Sub {
	var room [128]byte // longer ones cost a second piece of memory for a moment
	text := append(room[:0], subject...)
	if len(sid) > 0 {
		text = append(append(append(text, ' '), sid...), ' ')
	}
	text = append(text, queue...)
	return &Sub{Dst: dst, text: string(text), subjectLen: uint32(len(subject)), queueLen: uint32(len(queue))} //nolint:gosec // bounded by a line
}

// NewRemote returns a subscription of another broker, or one that other brokers
// are not to be told of: Watchers do not hear of it.
func NewRemote(dst *egress.Conn, subject, queue string) *Sub {
	s := NewSub(dst, subject, queue, "")
	s.remote = true
	return s
}

// NewOwn returns a subscription of the broker itself: it does not count as one of
// the account's.
func NewOwn(dst *egress.Conn, subject, queue string) *Sub {
	s := NewSub(dst, subject, queue, "")
	s.own = true
	return s
}

// Remote reports whether NewRemote made the subscription.
func (s *Sub) Remote() bool { return s.remote }

// Subject is what is subscribed to.
func (s *Sub) Subject() string { return s.text[:s.subjectLen] }

// Queue is the queue group; empty for a plain subscription.
func (s *Sub) Queue() string { return s.text[len(s.text)-int(s.queueLen):] }

// Frame is the client's id as it stands in a message's line: with a blank before
// and behind it.
func (s *Sub) Frame() string { return s.text[s.subjectLen : len(s.text)-int(s.queueLen)] }

// SID is the client's id; empty for a subscription that is not a client's.
func (s *Sub) SID() string {
	if f := s.Frame(); f != "" {
		return f[1 : len(f)-1]
	}
	return ""
}

// set is a group of subscriptions that can be read without a lock while one
// writer adds and removes in constant time (amortized). Readers see slots of an
// array that only grows; a removed subscription leaves a nil slot until the
// writer moves the living ones to a new array. A lone subscription needs none:
// most subjects have one.
type set struct {
	slots  atomic.Pointer[slots]
	single [1]atomic.Pointer[Sub] // the first; what readers see while there is no array
	live   int32                  // guarded by the index's mutex
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
	sub.pos = n
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
	if n := a.n.Load(); s.live == 0 {
		s.slots.Store(nil)
	} else if n > compactBelow && s.live < n/2 {
		s.move(0)
	}
}

// move copies the living subscriptions to a new array with room for at least
// extra more, and publishes it.
func (s *set) move(extra int) *slots {
	size := int(s.live) + extra
	if size > 1 {
		size += size / 2
	}
	b := &slots{sub: make([]atomic.Pointer[Sub], size)}
	i := int32(0)
	for j := range s.all() {
		if sub := s.all()[j].Load(); sub != nil {
			sub.pos = i
			b.sub[i].Store(sub)
			i++
		}
	}
	b.n.Store(i)
	s.slots.Store(b)
	return b
}
