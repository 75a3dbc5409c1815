package egress

import (
	"time"

	"github.com/coveymq/covey/dataplane/internal/wire"
)

func (c *Conn) freeVector() {
	if v := c.vec; v != nil {
		v.reset()
		c.vec = nil
		vectors.Put(v)
	}
}

// flush writes the vector, whose first lane bytes are control lines; the write
// side must be owned. Without wait it takes what the kernel accepts at once,
// which may be nothing.
func (c *Conn) flush(v *vector, lane int, wait bool) (int, error) {
	var patience time.Duration
	if wait {
		patience = c.patience(max(v.bytes, c.waits))
	}
	n, err := c.sink.flush(v, patience)
	c.goal -= n
	c.heldLane = min(max(lane-n, 0), c.sink.held())
	return n, err
}

// patience returns how long the kernel may take nothing now. What is offered
// together must be through in time, unless the limits are patient: then it is
// enough that something is.
func (c *Conn) patience(offered int) time.Duration {
	if c.limits.Patient {
		return c.limits.WriteDeadline
	}
	now := time.Now()
	if c.goal <= 0 {
		c.goal, c.until = offered, now.Add(c.limits.WriteDeadline)
	}
	return max(c.until.Sub(now), 1)
}

// write is the first write of a hand-over: segments that the batch still owns.
// It reports whether the kernel took all that was offered.
func (c *Conn) write(v *vector, segs []segment, meter Meter) (n int, all bool, err error) {
	for i := range segs {
		if v.full() {
			break
		}
		v.addSegment(&segs[i], 0)
	}
	if meter != nil && v.frames > 0 {
		meter.Delivering(v.frames, v.size)
	}
	n, err = c.flush(v, 0, false)
	all = n == v.bytes
	v.reset()
	return n, all, err
}

// through takes n written bytes off segments that the batch still owns. It
// returns the rest and how many bytes of its first segment are written.
func (c *Conn) through(segs []segment, n int, meter Meter) (left []segment, off int) {
	var frames, size uint64
	for len(segs) > 0 && n >= len(segs[0].buf) {
		n -= len(segs[0].buf)
		f, b := c.wholly(&segs[0])
		frames, size = frames+f, size+b
		segs[0].release()
		segs = segs[1:]
	}
	if n > 0 {
		f, b := c.partly(&segs[0], n)
		frames, size = frames+f, size+b
	}
	c.delivered(meter, frames, size)
	return segs, n
}

// partly notes that the first n bytes of a segment are written, and returns the
// whole messages that this completes.
func (c *Conn) partly(s *segment, n int) (frames, size uint64) {
	c.midFrame = true
	if s.rest || s.frames == 0 {
		return 0, 0
	}
	f, b := wire.CountFrames(s.buf[:n])
	frames, size = f-c.partFrames, b-c.partSize
	c.partFrames, c.partSize = f, b
	return frames, size
}

// wholly notes that a segment is written to its end, and returns the whole
// messages that this completes.
func (c *Conn) wholly(s *segment) (frames, size uint64) {
	c.midFrame = s.open
	frames, size = uint64(s.frames)-c.partFrames, s.size-c.partSize
	c.partFrames, c.partSize = 0, 0
	return frames, size
}

// delivered ends what Delivering began.
func (c *Conn) delivered(meter Meter, frames, size uint64) {
	if meter != nil {
		meter.Delivered(frames, size)
	}
	if frames > 0 {
		c.count(frames, size)
	}
}

// round writes once from the control lane and the queue. It is called with mu
// held and writing set, and gives mu up while it writes. It reports whether
// another round makes sense: false when the kernel took nothing, or on error.
func (c *Conn) round(wait bool) bool {
	if c.closed || c.failed {
		return false
	}
	v := c.vec
	v.reset()
	c.refill()
	lane := c.load(v)
	if v.n == 0 && !c.sink.busy() {
		return false
	}
	c.waits = c.waiting()
	meter := c.meter
	c.mu.Unlock()
	if meter != nil && v.frames > 0 {
		meter.Delivering(v.frames, v.size)
	}
	n, err := c.flush(v, lane, wait)
	c.mu.Lock()
	c.pending -= int64(n)
	c.consume(n, lane, meter)
	if c.room != nil && c.pending <= c.limits.MaxPending/2 {
		close(c.room)
		c.room = nil
	}
	if err == nil || n > 0 && c.limits.Patient && isTimeout(err) {
		return n > 0
	}
	reason := WriteError
	if isTimeout(err) {
		reason = SlowConsumerDeadline
	}
	c.mu.Unlock()
	c.giveUp(reason)
	c.mu.Lock()
	return false
}

// load fills the vector: the control lane first, unless a message is half
// written, whose end then comes first, and nothing else. What the sink holds
// comes before all.
func (c *Conn) load(v *vector) (lane int) {
	held := c.sink.held()
	switch {
	case held > 0:
		lane = c.heldLane
	case !c.midFrame:
		lane = len(c.ctrl)
	}
	v.add(c.ctrl[:lane])
	off := c.off
	for i := c.head; i < len(c.queue) && !v.full(); i++ {
		v.addSegment(&c.queue[i], off)
		off = 0
		if len(c.ctrl) > lane && !c.queue[i].open && v.bytes >= held {
			break
		}
	}
	return lane
}

// consume takes n written bytes off the control lane and the queue.
func (c *Conn) consume(n, lane int, meter Meter) {
	fromLane := min(n, lane)
	c.ctrl = c.ctrl[:copy(c.ctrl, c.ctrl[fromLane:])]
	n -= fromLane
	c.charge(-int64(n))
	var frames, size uint64
	for n > 0 && n >= len(c.queue[c.head].buf)-c.off {
		s := &c.queue[c.head]
		n -= len(s.buf) - c.off
		f, b := c.wholly(s)
		frames, size = frames+f, size+b
		s.disown()
		*s = segment{}
		c.head++
		c.off = 0
	}
	if n > 0 {
		c.off += n
		f, b := c.partly(&c.queue[c.head], c.off)
		frames, size = frames+f, size+b
	}
	if c.head == len(c.queue) {
		c.queue, c.head = nil, 0 // an idle connection holds nothing
	}
	if len(c.ctrl) == 0 {
		c.ctrl = nil
	}
	c.delivered(meter, frames, size)
}
