package secure

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// pipe stands between crypto/tls and the socket. During the handshake it passes
// everything on; afterwards it only moves memory.
type pipe struct {
	deadlines
	nc     net.Conn
	memory bool // the handshake is over

	// Owned by the reader.
	in []byte

	busy atomic.Bool // something is unsent

	mu    sync.Mutex
	out   *buffer // guarded by mu, as is all below; nil when nothing is unsent
	at    int     // how much of out is sent
	total int64   // bytes that were added in all
}

// unsentMax bounds what is unsent. One flush seals far less; what else is added
// are answers to key updates, of which a client can ask for too many.
const unsentMax = 256 << 10

var errUnsent = errors.New("too much is unsent")

// Read returns what was fed.
func (p *pipe) Read(b []byte) (int, error) {
	if !p.memory {
		return p.nc.Read(b)
	}
	if len(p.in) == 0 {
		p.in = nil
		return 0, ErrMore
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	return n, nil
}

// Write keeps a record until it is sent.
func (p *pipe) Write(b []byte) (int, error) {
	if !p.memory {
		return p.nc.Write(b)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room(len(b))
	if len(p.out.b)-p.at > unsentMax {
		return 0, errUnsent
	}
	p.out.b = append(p.out.b, b...)
	p.total += int64(len(b))
	p.busy.Store(true)
	return len(b), nil
}

// Close is for the owner of the socket.
func (p *pipe) Close() error { return nil }

// LocalAddr returns the socket's.
func (p *pipe) LocalAddr() net.Addr { return p.nc.LocalAddr() }

// RemoteAddr returns the socket's.
func (p *pipe) RemoteAddr() net.Addr { return p.nc.RemoteAddr() }

func (p *pipe) detach() { p.memory = true }

// room makes place for n bytes more. Where the buffer has to be replaced, who
// writes the socket may still be reading the old one, so it is not given back.
func (p *pipe) room(n int) {
	switch {
	case p.out == nil:
		p.out = newBuffer(n)
	case cap(p.out.b)-len(p.out.b) < n:
		next := newBuffer(len(p.out.b) + n)
		next.b = append(next.b, p.out.b...)
		p.out = next
	}
}

// recordOverhead is more than a record of any cipher suite adds to its content.
const recordOverhead = 128

func (p *pipe) reserve(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room(n + (n/RecordMax+1)*recordOverhead)
}

func (p *pipe) added() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

func (p *pipe) unsent() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		return nil
	}
	return p.out.b[p.at:]
}

func (p *pipe) sent(n int) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		return p.total
	}
	p.at += n
	left := len(p.out.b) - p.at
	if left == 0 {
		p.release()
	}
	return p.total - int64(left)
}

func (p *pipe) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		p.release()
	}
}

func (p *pipe) release() {
	p.out.free()
	p.out, p.at = nil, 0
	p.busy.Store(false)
}

// buffer is pooled memory for records.
type buffer struct {
	class int8 // index into bufferSizes; -1 for memory that is not pooled
	b     []byte
}

// Sizes of the buffers: for answers and single messages, for one full record,
// for as many as one flush seals.
var bufferSizes = [...]int{2 << 10, RecordMax + 512, 4*RecordMax + 1024}

var bufferPools [len(bufferSizes)]sync.Pool //nolint:gochecknoglobals // a pool is shared by nature

func newBuffer(need int) *buffer {
	for class, size := range bufferSizes {
		if size < need {
			continue
		}
		if b, ok := bufferPools[class].Get().(*buffer); ok {
			return b
		}
		return &buffer{class: int8(class), b: make([]byte, 0, size)}
	}
	return &buffer{class: -1, b: make([]byte, 0, need)}
}

func (b *buffer) free() {
	if b.class >= 0 {
		b.b = b.b[:0]
		bufferPools[b.class].Put(b)
	}
}
