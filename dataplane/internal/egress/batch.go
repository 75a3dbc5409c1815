package egress

import "time"

// Message is one message, ready to be framed for many destinations.
type Message struct {
	Subject []byte
	// Tail is the rest of the line and the body: `[reply] [header size] size CRLF
	// body CRLF`.
	Tail []byte
	// Size is the length of headers and payload: what is billed.
	Size int
	// Headers says that the sizes in Tail are two and the verb is HMSG.
	Headers bool
	// Account is whose message it is, if it is for a connection that accounts
	// share.
	Account string
	// Tally counts the account's messages to such connections; nil for nothing.
	Tally *Tally
	// Routed says that the message goes to another broker: the verb is RMSG if it
	// is not HMSG, and Subject has the rest of what stands before Tail, too.
	Routed bool
	// InBuffer says that Tail lies in the batch's read buffer, so that a large
	// one need not be copied.
	InBuffer bool
}

// Batch stages the deliveries of one read batch, by destination.
type Batch struct {
	dests  []stage
	n      int       // how many of dests are in use
	slotOf []int32   // by Conn.slot: the place in dests
	buffer *Buffer   // the read buffer that messages point into
	full   []crammed // destinations that asked their publishers to wait
}

// crammed is a destination that has too much of an account, or of all.
type crammed struct {
	dst     *Conn
	account string
}

// stage is what one destination gets.
type stage struct {
	dst     *Conn
	account string // whose messages they are, if the destination is shared
	tally   *Tally // of that account
	segs    []segment
	cur     *chunk
	from    int // where the open segment starts in cur
	frames  uint32
	size    uint64
	total   int  // staged bytes
	copied  int  // those of them that lie in chunks
	data    bool // messages are among them, not only control lines
}

const (
	// referMin is from which size on a message's tail is written from where it
	// lies instead of being copied into the chunk.
	referMin = 4 << 10
	// With few destinations much is copied for each before it is handed over;
	// with many, less, to stay within the caches. What is only referred to costs
	// no cache, so more of it goes in one hand-over.
	fewDests   = 16
	stageFew   = 64 << 10
	stageMany  = 16 << 10
	stageTotal = 256 << 10
)

const (
	verbPlain   = "MSG "
	verbHeaders = "HMSG "
	verbRouted  = "RMSG "
)

// Begin starts a batch whose messages lie in buffer.
func (b *Batch) Begin(buffer *Buffer) { b.buffer = buffer }

// to returns the stage of c.
func (b *Batch) to(c *Conn) *stage {
	if int(c.slot) < len(b.slotOf) {
		if i := int(b.slotOf[c.slot]); i < b.n && b.dests[i].dst == c {
			return &b.dests[i]
		}
	}
	return b.add(c)
}

func (b *Batch) add(c *Conn) *stage {
	for int(c.slot) >= len(b.slotOf) {
		b.slotOf = append(b.slotOf, make([]int32, max(64, len(b.slotOf)))...)
	}
	if b.n == len(b.dests) {
		b.dests = append(b.dests, stage{})
	}
	b.slotOf[c.slot] = int32(b.n)
	s := &b.dests[b.n]
	b.n++
	s.dst = c
	return s
}

// Deliver stages one message for one subscription. The sid has a blank before
// and behind it.
func (b *Batch) Deliver(c *Conn, m *Message, sid string) {
	s := b.to(c)
	if s.account != m.Account {
		b.turnTo(s, m)
	}
	s.data = true
	verb := verbPlain
	if m.Headers {
		verb = verbHeaders
	} else if m.Routed {
		verb = verbRouted
	}
	head := len(verb) + len(m.Subject) + len(sid)
	refer := m.InBuffer && len(m.Tail) >= referMin
	need := head
	if !refer {
		need += len(m.Tail)
	}
	chunk := s.room(need)
	p := append(chunk.b, verb...)
	p = append(p, m.Subject...)
	p = append(p, sid...)
	if refer {
		chunk.b = p
		s.cut(true)
		s.segs = append(s.segs, segment{buf: m.Tail, shared: b.buffer, frames: 1, size: uint64(m.Size), rest: true})
	} else {
		chunk.b = append(p, m.Tail...)
		s.frames++
		s.size += uint64(m.Size)
	}
	s.total += head + len(m.Tail)
	s.copied += need
	if s.copied >= stageFew || s.copied >= stageMany && b.n > fewDests || s.total >= stageTotal {
		b.handOver(s)
	}
}

// Control stages a control line for c, in order with the messages staged for it.
// If there are none by the end of the batch, it may overtake a long backlog.
func (b *Batch) Control(c *Conn, line string) {
	s := b.to(c)
	chunk := s.room(len(line))
	chunk.b = append(chunk.b, line...)
	s.total += len(line)
}

// Status stages a frame of the broker's own for c, in order with the messages. It
// is no delivery to be counted, so it gets a segment to itself.
func (b *Batch) Status(c *Conn, frame string) {
	s := b.to(c)
	chunk := s.room(len(frame))
	s.cut(false)
	chunk.b = append(chunk.b, frame...)
	s.cut(false)
	s.total += len(frame)
}

// room returns the current chunk with at least n free bytes.
func (s *stage) room(n int) *chunk {
	if s.cur == nil {
		s.cur = newChunk(0, n)
		s.from = 0
		return s.cur
	}
	if cap(s.cur.b)-len(s.cur.b) >= n {
		return s.cur
	}
	class := int(s.cur.class) + 1
	s.cut(false)
	s.finishChunk()
	s.cur = newChunk(min(max(class, 1), len(chunkSizes)-1), n)
	return s.cur
}

// cut ends the open segment. Continued says that its last frame goes on in the
// next segment.
func (s *stage) cut(continued bool) {
	if len(s.cur.b) > s.from {
		s.segs = append(s.segs, segment{buf: s.cur.b[s.from:], frames: s.frames, size: s.size, open: continued})
		s.from, s.frames, s.size = len(s.cur.b), 0, 0
	}
}

// finishChunk lets the last segment that lies in the chunk free it.
func (s *stage) finishChunk() {
	for i := len(s.segs) - 1; i >= 0; i-- {
		if s.segs[i].shared == nil && s.segs[i].chunk == nil {
			s.segs[i].chunk = s.cur
			break
		}
	}
	s.cur, s.from = nil, 0
}

func (b *Batch) handOver(s *stage) {
	if !s.data && len(s.segs) == 0 {
		s.dst.answer(s.cur.b)
		s.cur.free()
		s.cur, s.from, s.total = nil, 0, 0
		return
	}
	if s.cur != nil {
		s.cut(false)
		s.finishChunk()
	}
	s.count()
	if s.dst.send(s.segs, s.total, s.account) {
		b.full = append(b.full, crammed{s.dst, s.account})
	}
	clear(s.segs)
	s.segs, s.total, s.copied, s.data = s.segs[:0], 0, 0, false
}

// turnTo stages another account's messages from now on.
func (b *Batch) turnTo(s *stage, m *Message) {
	if s.total > 0 {
		b.handOver(s)
	}
	s.account, s.tally = m.Account, m.Tally
}

// Flush hands over all that is staged. Self, the connection that the batch was
// read from, comes last, so that an answer to its PING means that what it
// published before is on its way.
func (b *Batch) Flush(self *Conn) {
	var own *stage
	for i := range b.n {
		switch s := &b.dests[i]; {
		case s.dst == self:
			own = s
		case s.total > 0:
			b.handOver(s)
		}
	}
	if own != nil && own.total > 0 {
		b.handOver(own)
	}
	for i := range b.n {
		b.dests[i].dst, b.dests[i].account, b.dests[i].tally = nil, "", nil
	}
	b.n = 0
	b.buffer = nil
}

// Times that a publisher waits for destinations that are nearly full, as in
// nats-server: at most stallOne for each and stallAll for a batch.
const (
	stallOne = 5 * time.Millisecond
	stallAll = 10 * time.Millisecond
	// stallLane is how long at most it waits for the lane of its own account, which
	// nobody else has to suffer for.
	stallLane = time.Second
)

// Stall waits, for a bounded time, until the destinations that asked for it
// have written some of their backlog. Call it after Flush.
func (b *Batch) Stall() {
	left := stallAll
	for _, f := range b.full {
		if c := f.dst; c.limits.MaxLane > 0 {
			c.waitForLane(f.account, stallLane)
		}
		if c := f.dst; left > 0 {
			left -= c.waitForRoom(min(stallOne, left))
		}
	}
	clear(b.full)
	b.full = b.full[:0]
}

// Stalls reports whether Stall has something to wait for.
func (b *Batch) Stalls() bool { return len(b.full) > 0 }

// Forget takes the place of Stall where waiting would hold up others than who
// published: on a route, which many accounts share.
func (b *Batch) Forget() {
	clear(b.full)
	b.full = b.full[:0]
}
