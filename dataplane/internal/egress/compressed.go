package egress

import (
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/s2"
)

// Level is how hard to compress.
type Level uint32

// The levels, as nats-server has them.
const (
	Uncompressed Level = iota + 1 // in frames, like the others
	Fast
	Better
	Best
)

func (l Level) options() []s2.WriterOption {
	// Blocks are made by who flushes, not by goroutines of their own.
	o := []s2.WriterOption{s2.WriterConcurrency(1), s2.WriterBlockSize(compressMax)}
	switch l {
	case Uncompressed:
		o = append(o, s2.WriterUncompressed())
	case Better:
		o = append(o, s2.WriterBetterCompression())
	case Best:
		o = append(o, s2.WriterBestCompression())
	case Fast:
	}
	return o
}

// compressed is a sink before another one that makes an S2 stream of what a
// vector holds: one block for each flush. The bytes in it are through when the
// other sink is through with all of the block; until then they are held.
type compressed struct {
	inner sink          // immutable; busy may be asked by anyone
	level atomic.Uint32 // the Level to come

	now    Level // of enc
	enc    *s2.Writer
	out    encoded
	at     int // how much of out is through
	plain  int // how many bytes of the vector are in out
	vector vector
}

// compressMax is how much is compressed at once.
const compressMax = 128 << 10

// encoded gathers what the compressor makes.
type encoded []byte

// Write appends.
func (e *encoded) Write(b []byte) (int, error) {
	*e = append(*e, b...)
	return len(b), nil
}

func (s *compressed) held() int  { return s.plain }
func (s *compressed) busy() bool { return s.inner.busy() }

func (s *compressed) drop() {
	s.inner.drop()
	s.out, s.at, s.plain = nil, 0, 0
}

func (s *compressed) flush(v *vector, wait time.Duration) (int, error) {
	through := 0
	for {
		if s.plain == 0 {
			if err := s.encode(v, through); err != nil {
				return through, err
			}
		}
		s.vector.reset()
		s.vector.add(s.out[s.at:])
		n, err := s.inner.flush(&s.vector, wait)
		s.at += n
		if s.at < len(s.out) || err != nil || s.plain == 0 {
			return through, err
		}
		through += s.plain
		s.out, s.at, s.plain = s.out[:0], 0, 0
		if through == v.bytes {
			return through, nil
		}
		wait = 0 // something was accepted
	}
}

// encode makes a block of what the vector holds from a position on.
func (s *compressed) encode(v *vector, from int) error {
	left := min(v.bytes-from, compressMax)
	if left <= 0 {
		return nil
	}
	if l := Level(s.level.Load()); l != s.now {
		s.now, s.enc = l, s2.NewWriter(&s.out, l.options()...) // a new stream, which readers take as more of the same
	}
	s.plain = left
	for at := v.cursor(from); left > 0; {
		piece := at.next(left)
		if _, err := s.enc.Write(piece); err != nil {
			return err
		}
		left -= len(piece)
	}
	return s.enc.Flush()
}

// Compress makes an S2 stream of everything that is sent from now on. It may be
// called once, behind Secure if that is called, while nothing is queued and
// nobody sends.
func (c *Conn) Compress(l Level) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &compressed{inner: c.sink}
	s.level.Store(uint32(l))
	c.sink = s
	c.compressed.Store(s)
}

// SetLevel compresses in another way from the next write on, if what is sent is
// compressed at all.
func (c *Conn) SetLevel(l Level) {
	if s := c.compressed.Load(); s != nil {
		s.level.Store(uint32(l))
	}
}
