package route

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/lookout"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// arrival is an account's side of what comes over one link. Its messages are
// delivered by the link's reader, a turn's worth of each batch. What is more goes
// to a backlog that a goroutine of its own works off for as long as there is one,
// so that the reader goes on to the messages of other accounts.
type arrival struct {
	link   *link
	tenant *tenant

	// Owned by the reader.
	batch   uint64 // the last one that the account was in
	spent   int    // deliveries in it
	heavy   uint64 // up to that batch nothing is delivered by the reader while others use the link
	inMsgs  uint64 // in it
	inBytes uint64

	behind atomic.Bool // there is a backlog; set by the reader, cleared by who works it off

	mu      sync.Mutex
	backlog []byte        // whole frames; guarded by mu, as is all below
	bytes   int           // in backlog, and in what is being worked off
	held    bool          // the peer was asked to hold back
	room    chan struct{} // closed when bytes falls below backlogMax; nil if nobody waits
}

const (
	// turnDeliveries is how many deliveries of one account a batch may lead to
	// before the rest of its messages waits: some milliseconds. Far less makes small
	// writes of it, which cost more than the fan-out itself.
	turnDeliveries = 16 << 10
	// sharedDeliveries is the same while others use the link, too: a tenth of a
	// millisecond. They did if they did in the last sharedBatches. Whoever had more
	// in one of those leaves all of it to the backlog: handing over a fan-out takes
	// longer than staging it, and others' messages in the batch would wait for both.
	sharedDeliveries = 1 << 10
	sharedBatches    = 64
	// flushDeliveries is after how many of them what is staged from a backlog is
	// handed over, however little it is for each destination. Nobody but the account
	// waits for that: the reader goes on beside it. Each hand-over ends with a write
	// for every destination that is smaller than it could be, so there are few.
	flushDeliveries = 4 * turnDeliveries
	// From holdAt on a peer of our kind is asked to hold the account's messages
	// back, until less than resumeAt is left. From one that cannot be asked, more
	// than backlogMax is not read: then all its accounts wait, as they would with
	// nats-server.
	holdAt     = 1 << 20
	resumeAt   = 256 << 10
	backlogMax = 64 << 20
	// backlogKeep is the largest buffer that is kept for the next round.
	backlogKeep = 256 << 10
)

// message handles one message, whose frame is given, too.
func (l *link) message(op *wire.Op, frame []byte) {
	l.messages++
	l.bytes += uint64(op.Size)
	a := l.arrival(l.parser.Account)
	if a.batch != l.batch {
		a.batch, a.spent = l.batch, 0
		l.met = append(l.met, a)
		if acct := a.tenant.live.Load(); acct != nil {
			l.in.Attend(acct)
		}
	}
	a.inMsgs++
	a.inBytes += uint64(op.Size)
	if a.spent >= l.turn(a) || a.behind.Load() {
		a.postpone(frame)
		return
	}
	if acct := a.tenant.live.Load(); acct != nil {
		a.spent += l.in.Deliver(acct, op, l.parser.Queues, l)
		if a.spent >= sharedDeliveries && !l.long {
			l.long, l.thread = true, l.in.Long()
		}
	}
}

// endLong ends a batch that was more than a little work, if it was.
func (l *link) endLong() {
	lookout.Insist(l.thread)
	l.long, l.thread = false, 0
}

// turn is how many deliveries of an account a batch may lead to at once.
func (l *link) turn(a *arrival) int {
	if l.latest != a {
		l.latest, l.mixed = a, l.batch+sharedBatches
	}
	switch {
	case l.batch >= l.mixed:
		return turnDeliveries
	case l.batch < a.heavy:
		return 0
	}
	return sharedDeliveries
}

// postpone puts a frame into the backlog.
func (a *arrival) postpone(frame []byte) {
	l := a.link
	a.heavy = l.batch + sharedBatches
	a.mu.Lock()
	for a.bytes > backlogMax && l.ended.Load() == nil {
		if a.room == nil {
			a.room = make(chan struct{})
		}
		room := a.room
		a.mu.Unlock()
		select {
		case <-room:
		case <-l.over:
		}
		a.mu.Lock()
	}
	a.backlog = append(a.backlog, frame...)
	a.bytes += len(frame)
	hold := a.bytes > holdAt && !a.held && l.remote.Covey
	a.held = a.held || hold
	start := !a.behind.Load()
	if start {
		a.behind.Store(true)
	}
	if hold {
		l.out.Post(l.sign("A- ", a.tenant.key))
	}
	a.mu.Unlock()
	if start {
		// What the reader has staged already comes first.
		l.flush()
		l.workers.Go(a.work)
	}
}

// sign is A+ or A- about an account. On the link of a single account the name
// says nothing new.
func (l *link) sign(verb, key string) []byte {
	return append(append([]byte(verb), key...), '\r', '\n')
}

// work works the backlog off.
func (a *arrival) work() {
	l := a.link
	defer l.recover()
	in := l.mesh.host.NewInbound()
	defer in.Release()
	thread := in.Long()
	defer lookout.Insist(thread)
	p := wire.RouteParser{Dedicated: l.slot.account != ""}
	p.MaxControlLine, p.MaxPayload = maxControlLine, -1
	var spare []byte
	for {
		frames, more := a.next(spare)
		if !more {
			return
		}
		a.deliver(in, &p, frames)
		a.done(len(frames))
		spare = nil
		if cap(frames) <= backlogKeep {
			spare = frames[:0]
		}
	}
}

// next takes what is in the backlog. It reports false when there is nothing, and
// then the reader delivers again.
func (a *arrival) next(spare []byte) ([]byte, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.backlog) == 0 || a.link.ended.Load() != nil {
		a.backlog, a.bytes = nil, 0
		a.behind.Store(false)
		return nil, false
	}
	frames := a.backlog
	a.backlog = spare
	return frames, true
}

// deliver delivers whole frames, and lets others run in between.
func (a *arrival) deliver(in *conn.Inbound, p *wire.RouteParser, frames []byte) {
	acct := a.tenant.live.Load()
	if acct == nil {
		return
	}
	b := egress.NewBuffer(len(frames))
	defer b.Release()
	copy(b.B, frames)
	in.Begin(b)
	spent, rested := 0, 0
	for at := 0; at < len(frames); {
		n, err := p.Next(b.B[at:len(frames)])
		if err != nil || n == 0 {
			break // cannot be: the reader parsed the same bytes
		}
		at += n
		if spent += in.Deliver(acct, &p.Op, p.Queues, a.link); spent < rested+turnDeliveries {
			continue
		}
		rested = spent
		if spent >= flushDeliveries {
			in.Flush()
			in.Begin(b)
			spent, rested = 0, 0
		}
		if a.link.ended.Load() != nil {
			break
		}
		runtime.Gosched()
	}
	in.Flush()
}

// done notes that so many bytes are worked off.
func (a *arrival) done(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bytes -= n
	if a.room != nil && a.bytes <= backlogMax {
		close(a.room)
		a.room = nil
	}
	if a.held && a.bytes < resumeAt {
		a.held = false
		a.link.out.Post(a.link.sign("A+ ", a.tenant.key))
	}
}

// arrival returns the account's, without a lock shared between accounts once the
// link has met it.
func (l *link) arrival(acct []byte) *arrival {
	if a := l.arrivals[string(acct)]; a != nil {
		return a
	}
	key := string(acct)
	if l.slot.account != "" {
		key = l.slot.account
	}
	a := &arrival{link: l, tenant: l.mesh.tenant(key)}
	l.arrivals[string(acct)] = a
	return a
}

// flush hands over what the reader has staged, and goes on staging.
func (l *link) flush() {
	l.in.Flush()
	l.in.Begin(l.reading)
}

// heldBack handles a peer's wish about an account. Only our kind sends it, and
// for others it means nothing.
func (l *link) heldBack(acct []byte, hold bool) {
	if l.remote.Covey {
		l.out.Hold(string(acct), hold)
	}
}
