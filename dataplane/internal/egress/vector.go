package egress

import (
	"sync"
	"syscall"
	"unsafe"
)

// vector is one write in the making.
type vector struct {
	iov   [vectorMax]syscall.Iovec
	n     int
	bytes int
	// What may be delivered by it.
	frames uint64
	size   uint64
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

func (v *vector) reset() {
	clear(v.iov[:v.n])
	v.n, v.bytes, v.frames, v.size = 0, 0, 0, 0
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

func (v *vector) bytesAt(i int) []byte { return unsafe.Slice(v.iov[i].Base, v.iov[i].Len) }

// cursor is a place in a vector.
type cursor struct {
	v    *vector
	i    int    // the next piece
	rest []byte // of the piece before
}

func (v *vector) cursor(from int) cursor {
	c := cursor{v: v}
	for from > 0 {
		from -= len(c.next(from))
	}
	return c
}

// next returns at most n bytes in one piece, and passes them.
func (c *cursor) next(n int) []byte {
	if len(c.rest) == 0 && c.i < c.v.n {
		c.rest = c.v.bytesAt(c.i)
		c.i++
	}
	b := c.rest[:min(n, len(c.rest))]
	c.rest = c.rest[len(b):]
	return b
}
