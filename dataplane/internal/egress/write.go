package egress

import (
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/coveymq/covey/dataplane/internal/wire"
)

// vector is one writev call in the making.
type vector struct {
	iov   [vectorMax]syscall.Iovec
	n     int
	bytes int
	// What may be delivered by it.
	frames uint64
	size   uint64

	wait  bool // block until something could be written
	wrote int
	err   syscall.Errno
}

const (
	vectorMax   = 64
	vectorBytes = 256 << 10 // so that a long backlog is counted, and overtaken, in steps
)

var vectors sync.Pool //nolint:gochecknoglobals // a pool is shared by nature

func newVector() *vector {
	if v, ok := vectors.Get().(*vector); ok {
		return v
	}
	return &vector{}
}

func (c *Conn) freeVector() {
	if v := c.vec; v != nil {
		v.reset()
		c.vec = nil
		vectors.Put(v)
	}
}

func (v *vector) reset() {
	clear(v.iov[:v.n])
	v.n, v.bytes, v.frames, v.size, v.wrote, v.err, v.wait = 0, 0, 0, 0, 0, 0, false
}

func (v *vector) full() bool { return v.n == vectorMax || v.bytes >= vectorBytes }

func (v *vector) add(b []byte) {
	if len(b) == 0 {
		return
	}
	v.iov[v.n].Base = &b[0]
	v.iov[v.n].SetLen(len(b))
	v.n++
	v.bytes += len(b)
}

func (v *vector) addSegment(s *segment, off int) {
	v.add(s.buf[off:])
	v.frames += uint64(s.frames)
	v.size += s.size
}

// attempt is the callback of RawConn.Write: one writev, or, if the vector says
// wait, as many as it takes until the kernel accepts something.
func (c *Conn) attempt(fd uintptr) bool {
	v := c.vec
	for {
		n, errno := writev(fd, v.iov[:v.n])
		switch errno {
		case 0:
			v.wrote = n
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return !v.wait
		default:
			v.err = errno
			return true
		}
	}
}

func writev(fd uintptr, iov []syscall.Iovec) (int, syscall.Errno) {
	var n uintptr
	var errno syscall.Errno
	if len(iov) == 1 {
		n, _, errno = syscall.Syscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(iov[0].Base)), uintptr(iov[0].Len))
	} else {
		n, _, errno = syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// flush writes the vector; the write side must be owned. Without wait it takes
// what the kernel accepts at once, which may be nothing.
func (c *Conn) flush(v *vector, wait bool) (int, error) {
	v.wait, v.wrote, v.err = wait, 0, 0
	if c.raw == nil {
		return c.flushStream(v, wait)
	}
	if wait {
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.limits.WriteDeadline)); err != nil {
			return 0, err
		}
	}
	err := c.raw.Write(c.try)
	if wait {
		_ = c.nc.SetWriteDeadline(time.Time{}) // fails only if the connection is closed
	}
	if err != nil {
		return 0, err
	}
	if v.err != 0 {
		return 0, v.err
	}
	return v.wrote, nil
}

// flushStream writes to a connection that cannot be asked without blocking:
// only the writer goroutine may.
func (c *Conn) flushStream(v *vector, wait bool) (int, error) {
	if !wait {
		return 0, nil
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.limits.WriteDeadline)); err != nil {
		return 0, err
	}
	total := 0
	for _, iov := range v.iov[:v.n] {
		n, err := c.nc.Write(unsafe.Slice(iov.Base, iov.Len))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
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
	n, err = c.flush(v, false)
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
	lane := c.load(v)
	if v.n == 0 {
		return false
	}
	meter := c.meter
	c.mu.Unlock()
	if meter != nil && v.frames > 0 {
		meter.Delivering(v.frames, v.size)
	}
	n, err := c.flush(v, wait)
	c.mu.Lock()
	c.pending -= int64(n)
	c.consume(n, lane, meter)
	if c.room != nil && c.pending <= c.limits.MaxPending/2 {
		close(c.room)
		c.room = nil
	}
	if err == nil {
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
// written, whose end then comes first, and nothing else.
func (c *Conn) load(v *vector) (lane int) {
	if !c.midFrame {
		lane = len(c.ctrl)
		v.add(c.ctrl)
	}
	off := c.off
	for i := c.head; i < len(c.queue) && !v.full(); i++ {
		v.addSegment(&c.queue[i], off)
		off = 0
		if len(c.ctrl) > lane && !c.queue[i].open {
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
