package egress

import (
	"sync"
	"sync/atomic"
)

// Sizes of the chunks in which deliveries are staged. A destination starts with
// a small one, so that a lone message touches little memory.
var chunkSizes = [...]int{2 << 10, 16 << 10, 64 << 10}

// chunk is a piece of pooled memory that holds frames.
type chunk struct {
	class int8 // index into chunkSizes; -1 for memory that is not pooled
	b     []byte
}

var chunkPools [len(chunkSizes)]sync.Pool //nolint:gochecknoglobals // a pool is shared by nature

// newChunk returns an empty chunk of a class, or one that is made to measure
// when even the largest class cannot hold need bytes.
func newChunk(class int, need int) *chunk {
	for class < len(chunkSizes)-1 && chunkSizes[class] < need {
		class++
	}
	if need > chunkSizes[class] {
		return &chunk{class: -1, b: make([]byte, 0, need)}
	}
	if c, ok := chunkPools[class].Get().(*chunk); ok {
		return c
	}
	return &chunk{class: int8(class), b: make([]byte, 0, chunkSizes[class])}
}

func (c *chunk) free() {
	if c.class >= 0 {
		c.b = c.b[:0]
		chunkPools[c.class].Put(c)
	}
}

// Buffer is memory that a reader reads into and that queued segments may go on
// pointing to. Whoever holds it calls Release once.
type Buffer struct {
	B     []byte
	refs  atomic.Int32
	class int8
}

// Sizes of read buffers. The smallest is what every batch starts with.
var bufferSizes = [...]int{64 << 10, 256 << 10, 1 << 20, 4 << 20}

var bufferPools [len(bufferSizes)]sync.Pool //nolint:gochecknoglobals // a pool is shared by nature

// NewBuffer returns a buffer of at least need bytes, of undefined content.
func NewBuffer(need int) *Buffer {
	class := 0
	for class < len(bufferSizes) && bufferSizes[class] < need {
		class++
	}
	if class == len(bufferSizes) {
		b := &Buffer{B: make([]byte, need), class: -1}
		b.refs.Store(1)
		return b
	}
	b, ok := bufferPools[class].Get().(*Buffer)
	if !ok {
		b = &Buffer{B: make([]byte, bufferSizes[class]), class: int8(class)}
	}
	b.refs.Store(1)
	return b
}

// Shared reports whether queued segments still point into the buffer, so that
// it must not be written to again.
func (b *Buffer) Shared() bool { return b.refs.Load() > 1 }

// Release gives up one hold on the buffer.
func (b *Buffer) Release() {
	if b.refs.Add(-1) == 0 && b.class >= 0 {
		bufferPools[b.class].Put(b)
	}
}

// segment is a stretch of bytes on its way out.
type segment struct {
	buf    []byte
	chunk  *chunk  // freed when the segment is through; nil if a later segment does that
	shared *Buffer // what buf points into, when that is a reader's buffer
	frames uint32  // messages whose last byte is in buf
	size   uint64  // their headers and payloads, in bytes: what is billed
	open   bool    // the last frame in buf continues in the next segment
	rest   bool    // buf is the rest of a frame that began in the segment before
}

func (s *segment) release() {
	if s.chunk != nil {
		s.chunk.free()
		s.chunk = nil
	}
}

// shareMin is from which size on a queued payload goes on pointing into its
// publisher's read buffer. Smaller ones are copied, because each pins a whole
// buffer of at least four times this size.
const shareMin = 16 << 10

// own makes a segment independent of the batch that staged it.
func (s *segment) own() {
	if s.shared == nil {
		return
	}
	if len(s.buf) >= shareMin {
		s.shared.refs.Add(1)
		return
	}
	c := newChunk(0, len(s.buf))
	c.b = append(c.b, s.buf...)
	s.buf, s.chunk, s.shared = c.b, c, nil
}

// disown undoes own.
func (s *segment) disown() {
	s.release()
	if s.shared != nil {
		s.shared.Release()
		s.shared = nil
	}
}
