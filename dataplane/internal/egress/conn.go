package egress

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/dataplane/internal/secure"
)

// Reason is why a Conn gave up.
type Reason uint8

// The reasons.
const (
	WriteError Reason = iota + 1
	SlowConsumerPending
	SlowConsumerDeadline
	SlowConsumerBudget // of all connections of the account, this one had the largest backlog
)

// Limits bound what one connection may hold.
type Limits struct {
	MaxPending    int64         // bytes queued; beyond them the connection is a slow consumer
	WriteDeadline time.Duration // how long the kernel may take for what it is offered
	// Patient gives a connection that takes a part of what it is offered the
	// deadline anew: only who takes nothing at all is given up.
	Patient bool
	// MaxLane bounds what waits of one account, on a connection that accounts
	// share: they take turns, and what is beyond the bound is dropped. 0 is for a
	// connection of one.
	MaxLane int64
	// NoStall is true while who publishes to a connection that has nearly too much
	// goes on at once, and the connection gets nothing of it; nil is for never.
	NoStall *atomic.Bool
}

// Meter counts what a connection's account got. Both methods are called once
// per flush, never at the same time for one connection.
type Meter interface {
	// Delivering says what may be delivered by the write that is about to begin.
	Delivering(messages, bytes uint64)
	// Delivered says what was, and ends what Delivering began.
	Delivered(messages, bytes uint64)
}

// Flags of a connection that those who deliver to it must know.
const (
	// NoHeaders: the client did not ask for headers; they are cut off.
	NoHeaders uint32 = 1 << iota
	// NoEcho: the connection does not want its own messages.
	NoEcho
	// Filtered: deliveries must be checked against the connection's rules.
	Filtered
	// Closed: nothing is delivered any more.
	Closed
	// Routed: the connection is a route to another broker, which gets a message
	// once, however many of its subscriptions match.
	Routed
	// Limited: deliveries must be counted against the connection's rates.
	Limited
	// Full: the connection has too large a backlog and loses what is meant for it.
	Full
	// Slow: the connection has nearly too large a backlog and loses what is
	// published for it; see Limits.NoStall.
	Slow
	// Dedicated: a route of one account, which is not named on it.
	Dedicated
	// Internal: there is no connection; the Owner takes the messages.
	Internal
	// Traced: deliveries to the connection are logged.
	Traced
	// Importing: some of its subscriptions are in other accounts' indexes.
	Importing
)

// Conn is the outbound half of a connection.
type Conn struct {
	// Immutable after New.
	nc     net.Conn
	limits *Limits
	fail   func(Reason) // called at most once, with no lock held; must not block
	slots  *Slots
	slot   uint32

	// Flags may be read by anyone.
	Flags atomic.Uint32
	// Owner is what the owner of the connection wants to find again from a
	// subscription; egress does not look at it. Set before the first
	// subscription is made.
	Owner any

	// Overflow, if it is not nil, is called when something of an account is dropped
	// because its lane is full: once until the lane has room again, with no lock
	// held. It must not block.
	Overflow func(account string)

	// Counters, read by anyone.
	Dropped               atomic.Uint64 // messages beyond MaxLane
	OutMessages, OutBytes atomic.Uint64
	stalls                atomic.Uint64
	charged               atomic.Int64 // bytes in queue that the budget counts; changed with mu held

	compressed atomic.Pointer[compressed] // nil if what is sent is not compressed

	writers sync.WaitGroup // the writer goroutine, if there is one

	// Owned by whoever set writing.
	sink                 sink // busy may be asked with mu held
	vec                  *vector
	heldLane             int       // how much of ctrl the sink holds
	goal                 int       // bytes that must be through until then
	waits                int       // bytes that are offered, with those in lanes
	until                time.Time // when the patience with them ends
	midFrame             bool      // the last byte written was inside a message
	partFrames, partSize uint64    // of the segment that is partly written: what is counted already

	mu      sync.Mutex
	queue   []segment // guarded by mu, as is all below
	head    int       // the first segment of queue that is not through
	off     int       // bytes of queue[head] that are through
	ctrl    []byte    // control lines that overtake the queue
	pending int64     // bytes in queue, lanes and ctrl and under way
	lanes   lanes
	writing bool
	closed  bool
	failed  bool
	meter   Meter
	budget  *Budget       // nil for none
	relief  int64         // Full ends when no more than this waits; 0 unless Full
	slow    bool          // Slow is set
	room    chan struct{} // closed when pending falls to half; nil if nobody waits
	idle    chan struct{} // closed when nothing is left to write; nil if nobody waits
	crowd   int16         // how often publishers met here lately; see crowded
}

// New returns the outbound half of nc. Fail is called when writing is over.
func New(nc net.Conn, slots *Slots, limits *Limits, fail func(Reason)) *Conn {
	return &Conn{nc: nc, sink: newSink(nc), limits: limits, fail: fail, slots: slots, slot: slots.take()}
}

// NewInternal returns a destination inside of the broker, to subscribe with.
// Nothing is ever written to it: who delivers sees the flag and asks the owner.
func NewInternal(owner any) *Conn {
	c := &Conn{Owner: owner}
	c.Flags.Store(Internal)
	return c
}

// ErrNoSocket says that a connection cannot be secured.
var ErrNoSocket = errors.New("TLS needs a socket")

// Secure puts everything that is sent from now on behind TLS. It may be called
// once, when the handshake is over, while nothing is queued and nobody sends.
func (c *Conn) Secure(t *secure.Conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	plain, ok := c.sink.(*socket)
	if !ok {
		return ErrNoSocket
	}
	c.sink = &sealed{tls: t, socket: plain}
	return nil
}

// CloseNotify tells the peer of a TLS connection that nothing follows, unless
// there is a backlog before that.
func (c *Conn) CloseNotify() {
	c.mu.Lock()
	tls, ok := c.sink.(*sealed)
	if !ok || c.closed || c.failed || c.writing {
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.vec = newVector()
	tls.tls.CloseNotify()
	c.round(false)
	c.handBack()
}

// Kick writes what TLS has to say of its own accord, if nobody is writing: alerts
// and answers to key updates.
func (c *Conn) Kick() {
	c.mu.Lock()
	if c.closed || c.failed || c.writing || !c.sink.busy() {
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.vec = newVector()
	c.round(false)
	c.handBack()
}

// SetMeter says who is told of deliveries from now on.
func (c *Conn) SetMeter(m Meter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meter = m
}

// Pending returns the bytes that wait to be written.
func (c *Conn) Pending() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending
}

// inlineRounds is how often a publisher goes on writing what others queued for
// the same destination while it wrote.
const inlineRounds = 4

// send takes segments of an account over. It reports true when the publisher
// should wait before it publishes more to this destination.
func (c *Conn) send(segs []segment, total int, account string) (full bool) {
	c.mu.Lock()
	if c.closed || c.failed {
		c.mu.Unlock()
		discard(segs)
		return false
	}
	c.pending += int64(total)
	if c.limits.MaxLane > 0 && (c.writing || c.blocked(account)) {
		if c.writing {
			c.crowd = min(c.crowd+crowdMeet, crowdMax)
		}
		return c.toLane(account, segs, int64(total))
	}
	if c.writing {
		for i := range segs {
			segs[i].own()
		}
		c.queue = append(c.queue, segs...)
		c.charge(int64(total))
		c.crowd = min(c.crowd+crowdMeet, crowdMax)
		pending, budget := c.pending, c.budget
		c.mu.Unlock()
		if budget.over() {
			budget.relieve()
		}
		if pending > c.limits.MaxPending {
			c.overflow(budget)
		}
		return pending > c.limits.nearly() && !c.skip()
	}
	c.writing = true
	crowded := c.crowded()
	meter := c.meter
	c.mu.Unlock()

	if crowded && c.gather(segs) {
		return false
	}
	v := newVector()
	c.vec = v
	n, all, err := c.write(v, segs, meter)
	left, off := c.through(segs, n, meter)
	c.settle(left, off, n, all, err)
	return false
}

// settle puts what a first write left over in front of the queue and goes on
// with it, or gives the write side back.
func (c *Conn) settle(left []segment, off, n int, all bool, err error) {
	c.mu.Lock()
	c.pending -= int64(n)
	if len(left) > 0 {
		c.off = off
		for i := range left {
			left[i].own()
		}
		rest := c.queue[c.head:]
		q := make([]segment, 0, len(left)+len(rest)+8)
		c.queue, c.head = append(append(q, left...), rest...), 0
		c.charge(size(left) - int64(off))
		if budget := c.budget; budget.over() {
			c.mu.Unlock()
			budget.relieve()
			c.mu.Lock()
		}
	}
	if err != nil {
		c.mu.Unlock()
		c.giveUp(WriteError)
		c.mu.Lock()
	}
	for i := 0; all && i < inlineRounds && c.round(false); i++ {
	}
	c.handBack()
}

// handBack gives the write side back, or to a writer goroutine if there is a
// backlog, and unlocks mu.
func (c *Conn) handBack() {
	if c.drained() {
		return
	}
	c.freeVector()
	c.writers.Go(c.writer)
	c.mu.Unlock()
}

// drained gives the write side back, and unlocks mu, if nothing is left.
func (c *Conn) drained() bool {
	if c.closed || c.failed {
		c.abandon()
	} else if c.head < len(c.queue) || len(c.ctrl) > 0 || len(c.lanes.turns) > 0 || c.sink.busy() {
		return false
	}
	c.freeVector()
	c.writing, c.goal = false, 0
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
	c.mu.Unlock()
	return true
}

// abandon drops what is queued.
func (c *Conn) abandon() {
	c.sink.drop()
	discardOwned(c.queue[c.head:])
	c.abandonLanes()
	c.queue, c.head, c.off, c.ctrl = nil, 0, 0, nil
	c.charge(-c.charged.Load())
}

func size(segs []segment) (n int64) {
	for i := range segs {
		n += int64(len(segs[i].buf))
	}
	return n
}

// writer writes the backlog. It ends when there is none.
func (c *Conn) writer() {
	c.mu.Lock()
	c.vec = newVector()
	for !c.drained() {
		c.round(true)
	}
}

// overtakeMin is the backlog from which on answers overtake it. Behind less they
// keep their place, because clients take the answer to their PING as proof that
// they have what was published before; behind more they would come so late that
// a client gives the connection up.
const overtakeMin = 1 << 20

// answer sends control lines that keep their place behind a short backlog.
func (c *Conn) answer(line []byte) {
	c.mu.Lock()
	if c.closed || c.failed || !c.writing || c.pending > overtakeMin {
		c.mu.Unlock()
		c.Control(line)
		return
	}
	s := segment{chunk: newChunk(0, len(line))}
	s.chunk.b = append(s.chunk.b, line...)
	s.buf = s.chunk.b
	c.queue = append(c.queue, s)
	c.pending += int64(len(line))
	c.charge(int64(len(line)))
	c.mu.Unlock()
}

// Control sends a control line, ahead of queued messages.
func (c *Conn) Control(line []byte) {
	c.mu.Lock()
	if c.closed || c.failed {
		c.mu.Unlock()
		return
	}
	c.ctrl = append(c.ctrl, line...)
	c.pending += int64(len(line))
	if c.writing {
		over := c.pending > c.limits.MaxPending
		c.mu.Unlock()
		if over {
			c.giveUp(SlowConsumerPending)
		}
		return
	}
	c.writing = true
	c.vec = newVector()
	c.round(false)
	c.handBack()
}

// Post queues control lines and leaves the writing to the writer goroutine, so
// that many in a row go out together, and so that the caller may hold a lock.
// Lines posted by one who then sends a message are ahead of that message.
func (c *Conn) Post(lines []byte) {
	c.mu.Lock()
	if c.closed || c.failed {
		c.mu.Unlock()
		return
	}
	c.ctrl = append(c.ctrl, lines...)
	c.pending += int64(len(lines))
	over := c.pending > c.limits.MaxPending
	if !c.writing {
		c.writing = true
		c.writers.Go(c.writer)
	}
	c.mu.Unlock()
	if over {
		c.giveUp(SlowConsumerPending)
	}
}

// giveUp closes the connection for a reason of ours.
func (c *Conn) giveUp(r Reason) {
	c.mu.Lock()
	first := !c.failed && !c.closed
	c.failed = true
	c.mu.Unlock()
	if first {
		c.fail(r)
	}
}

// Finish waits until everything queued is written, at most for d.
func (c *Conn) Finish(d time.Duration) {
	c.mu.Lock()
	if !c.writing || c.closed || c.failed {
		c.mu.Unlock()
		return
	}
	idle := c.whenIdle()
	c.mu.Unlock()
	await(idle, d)
}

// whenIdle returns what is closed when nobody writes any more. Call it with mu
// held, while somebody does.
func (c *Conn) whenIdle() <-chan struct{} {
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	return c.idle
}

// Close ends the connection, drops what is queued and waits for whoever writes:
// when it returns, everything the kernel took is counted. Call it once.
func (c *Conn) Close() {
	c.Flags.Or(Closed)
	c.mu.Lock()
	c.closed = true
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	c.mu.Unlock()
	_ = c.nc.Close() // an error here has no one to be told to
	c.writers.Wait()

	c.mu.Lock()
	if c.writing {
		// A publisher, in the middle of a hand-over. The socket does not hold it up.
		idle := c.whenIdle()
		c.mu.Unlock()
		<-idle
		c.mu.Lock()
	}
	c.abandon()
	c.mu.Unlock()
	c.slots.give(c.slot)
}

func (c *Conn) count(messages, bytes uint64) {
	c.OutMessages.Add(messages)
	c.OutBytes.Add(bytes)
}

func discard(segs []segment) {
	for i := range segs {
		segs[i].release()
	}
}

func discardOwned(segs []segment) {
	for i := range segs {
		segs[i].disown()
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
