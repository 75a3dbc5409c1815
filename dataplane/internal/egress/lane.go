package egress

import "time"

// lane is what waits for a connection that several accounts share, of one
// account. What is in a lane goes to the connection's queue in turns, so that a
// long backlog of one account does not stand before what another one sends.
type lane struct {
	key    string
	segs   []segment
	head   int   // the first of segs that is not gone
	bytes  int64 // that are in segs
	held   bool  // the peer asked to wait
	warned bool  // somebody was told that it is full
	room   chan struct{}
}

// lanes are a connection's, guarded by its mutex.
type lanes struct {
	by    map[string]*lane // those that hold something or are held
	turns []*lane          // those that have something to send, in order
	bytes int64            // in all of them
}

const (
	// refillTo is how much is taken from the lanes ahead of being written, and
	// laneTurn how much of one at a time.
	refillTo = 64 << 10
	laneTurn = 16 << 10
)

// blocked reports whether an account has to wait for its turn. Call it with mu
// held.
func (c *Conn) blocked(key string) bool {
	if len(c.lanes.by) == 0 {
		return false
	}
	l := c.lanes.by[key]
	return l != nil && (l.held || l.bytes > 0)
}

func (c *Conn) lane(key string) *lane {
	l := c.lanes.by[key]
	if l == nil {
		if c.lanes.by == nil {
			c.lanes.by = make(map[string]*lane)
		}
		l = &lane{key: key}
		c.lanes.by[key] = l
	}
	return l
}

// toLane lets segments, which are pending already, wait for their account's
// turn, and unlocks mu. It reports true when the account's publishers should
// wait. What is beyond the account's bound is dropped.
func (c *Conn) toLane(key string, segs []segment, total int64) (full bool) {
	l := c.lane(key)
	if l.bytes+total > c.limits.MaxLane {
		first := !l.warned
		l.warned = true
		c.pending -= total
		c.mu.Unlock()
		for i := range segs {
			c.Dropped.Add(uint64(segs[i].frames))
		}
		discard(segs)
		if first && c.Overflow != nil {
			c.Overflow(key)
		}
		return true
	}
	for i := range segs {
		segs[i].own()
	}
	if l.bytes == 0 && !l.held {
		c.lanes.turns = append(c.lanes.turns, l)
	}
	l.segs = append(l.segs, segs...)
	l.bytes += total
	c.lanes.bytes += total
	full = l.bytes > c.limits.MaxLane/4*3
	pending := c.pending
	c.mu.Unlock()
	if pending > c.limits.MaxPending {
		c.giveUp(SlowConsumerPending)
	}
	return full
}

// refill takes from the lanes, in turns, until there is enough to write. Call it
// with mu held.
func (c *Conn) refill() {
	for len(c.lanes.turns) > 0 && c.pending-c.lanes.bytes-int64(len(c.ctrl)) < refillTo {
		l := c.lanes.turns[0]
		c.lanes.turns = c.lanes.turns[:copy(c.lanes.turns, c.lanes.turns[1:])]
		c.take(l)
		if l.bytes > 0 {
			c.lanes.turns = append(c.lanes.turns, l)
		} else {
			delete(c.lanes.by, l.key)
		}
	}
}

// take moves one turn's worth of whole frames from a lane to the queue.
func (c *Conn) take(l *lane) {
	moved := int64(0)
	for l.head < len(l.segs) {
		s := &l.segs[l.head]
		moved += int64(len(s.buf))
		c.queue = append(c.queue, *s)
		c.charge(int64(len(s.buf)))
		open := s.open
		*s = segment{}
		l.head++
		if moved >= laneTurn && !open {
			break
		}
	}
	if l.head == len(l.segs) {
		l.segs, l.head = nil, 0
	}
	l.bytes -= moved
	c.lanes.bytes -= moved
	if l.bytes <= c.limits.MaxLane/2 {
		l.warned = false
		if l.room != nil {
			close(l.room)
			l.room = nil
		}
	}
}

// Hold lets what an account sends wait until the peer wants more of it, or ends
// that.
func (c *Conn) Hold(key string, hold bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.failed || c.limits.MaxLane == 0 {
		return
	}
	l := c.lane(key)
	if l.held == hold {
		if !hold && l.bytes == 0 {
			delete(c.lanes.by, key)
		}
		return
	}
	l.held = hold
	switch {
	case l.bytes == 0 && !hold:
		delete(c.lanes.by, key)
	case l.bytes == 0:
	case hold:
		for i, t := range c.lanes.turns {
			if t == l {
				c.lanes.turns = append(c.lanes.turns[:i], c.lanes.turns[i+1:]...)
				break
			}
		}
	default:
		c.lanes.turns = append(c.lanes.turns, l)
		if !c.writing {
			c.writing = true
			c.writers.Go(c.writer)
		}
	}
}

// offeredMax is how much of what waits in lanes counts as offered together. It is
// what nats-server writes with one deadline.
const offeredMax = 64 << 20

// waiting is how much is offered to an impatient connection beside what the next
// write is of: what may leave its lanes counts, too. Call it with mu held.
func (c *Conn) waiting() int {
	if c.limits.Patient || c.limits.MaxLane == 0 || c.goal > 0 {
		return 0
	}
	n := c.pending
	for _, l := range c.lanes.by {
		if l.held {
			n -= l.bytes
		}
	}
	return int(min(n, offeredMax))
}

// waitForLane waits until half of an account's bound is free, at most for d.
func (c *Conn) waitForLane(key string, d time.Duration) {
	c.mu.Lock()
	l := c.lanes.by[key]
	if c.closed || l == nil || l.bytes <= c.limits.MaxLane/2 {
		c.mu.Unlock()
		return
	}
	if l.room == nil {
		l.room = make(chan struct{})
	}
	room := l.room
	c.mu.Unlock()
	c.stalls.Add(1)
	await(room, d)
}

// abandonLanes drops what waits. Call it with mu held.
func (c *Conn) abandonLanes() {
	for _, l := range c.lanes.by {
		discardOwned(l.segs[l.head:])
		if l.room != nil {
			close(l.room)
		}
	}
	c.lanes = lanes{}
}
