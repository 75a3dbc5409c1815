package egress_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

// patience bounds what must happen; no test measures time by it.
const patience = time.Minute

// meter checks how it is called, and counts.
type meter struct {
	mu                   sync.Mutex
	may, mayBytes        uint64
	under                bool
	messages, bytes      uint64
	overlapping, overrun int
}

func (m *meter) Delivering(messages, bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.under {
		m.overlapping++
	}
	m.under, m.may, m.mayBytes = true, messages, bytes
}

func (m *meter) Delivered(messages, bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if messages > 0 && !m.under || messages > m.may || bytes > m.mayBytes {
		m.overrun++
	}
	m.under, m.may, m.mayBytes = false, 0, 0
	m.messages += messages
	m.bytes += bytes
}

func (m *meter) counts() (messages, bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.messages, m.bytes
}

func (m *meter) check(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.overlapping > 0 || m.overrun > 0 {
		t.Errorf("meter: %d overlapping writes, %d counts beyond what was announced", m.overlapping, m.overrun)
	}
}

// receiveBuffer is the least that lets loopback, with its large segments, flow.
const receiveBuffer = 128 << 10

// pair returns the two ends of a loopback connection with small buffers, so that
// writes are partial.
func pair(tb testing.TB, buffer int) (near, far *net.TCPConn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	near, far = accepted.(*net.TCPConn), dialed.(*net.TCPConn)
	if buffer > 0 {
		_ = near.SetWriteBuffer(buffer)
		_ = far.SetReadBuffer(max(buffer, receiveBuffer))
	}
	tb.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// peer reads all that comes, when it is let.
type peer struct {
	conn net.Conn
	wg   sync.WaitGroup

	mu  sync.Mutex
	got bytes.Buffer // guarded by mu
}

func newPeer(t *testing.T, conn net.Conn) *peer {
	t.Helper()
	p := &peer{conn: conn}
	t.Cleanup(func() { _ = conn.Close() })
	return p
}

// read lets the peer read to the end.
func (p *peer) read() {
	p.wg.Go(func() {
		b := make([]byte, 8<<10)
		for {
			n, err := p.conn.Read(b)
			p.mu.Lock()
			p.got.Write(b[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

// discard lets the peer read to the end and keep nothing.
func (p *peer) discard() { p.wg.Go(func() { _, _ = io.Copy(io.Discard, p.conn) }) }

// all waits for the end of the stream and returns it.
func (p *peer) all() []byte {
	p.wg.Wait()
	return p.got.Bytes()
}

func (p *peer) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got.Len()
}

// frame is what a peer makes of the stream: a message, or a control line.
type frame struct {
	at      int // where it begins
	line    string
	subject string
	body    []byte // nil for a control line
	size    int
}

// frames reads a stream independently of how the broker counts. What is left
// over is an unfinished frame.
func frames(stream []byte) (all []frame, left int) {
	at := 0
	for {
		end := bytes.Index(stream[at:], []byte("\r\n"))
		if end < 0 {
			return all, len(stream) - at
		}
		f := frame{at: at, line: string(stream[at : at+end])}
		next := at + end + 2
		if words := bytes.Fields(stream[at : at+end]); len(words) > 0 && (string(words[0]) == "MSG" || string(words[0]) == "HMSG") {
			f.subject = string(words[1])
			size, err := strconv.Atoi(string(words[len(words)-1]))
			if err != nil || next+size+2 > len(stream) {
				return all, len(stream) - at
			}
			f.size, f.body = size, stream[next:next+size]
			next += size + 2
		}
		all = append(all, f)
		at = next
	}
}

// messages returns how many of the frames are messages, and their size.
func messages(all []frame) (n, size uint64) {
	for _, f := range all {
		if f.body != nil {
			n++
			size += uint64(f.size)
		}
	}
	return n, size
}

// tail returns a message's tail, and its size.
func tail(body []byte) ([]byte, int) {
	return append(fmt.Appendf(nil, "%d\r\n", len(body)), append(bytes.Clone(body), '\r', '\n')...), len(body)
}

// publisher does what a reader does with its buffer: it goes on using it while
// nobody else points into it.
type publisher struct {
	batch  egress.Batch
	buffer *egress.Buffer
	used   int
}

// begin starts a batch. What was in the buffer is overwritten, if it may be.
func (p *publisher) begin() {
	switch {
	case p.buffer == nil:
		p.buffer = egress.NewBuffer(1 << 20)
	case p.buffer.Shared():
		p.buffer.Release()
		p.buffer = egress.NewBuffer(1 << 20)
	}
	for i := range p.used {
		p.buffer.B[i] = 0xEE
	}
	p.used = 0
	p.batch.Begin(p.buffer)
}

// publish stages a message whose body lies in the buffer.
func (p *publisher) publish(c *egress.Conn, subject string, body []byte) {
	t, size := tail(body)
	at := p.used
	p.used += copy(p.buffer.B[at:], t)
	p.batch.Deliver(c, &egress.Message{Subject: []byte(subject), Tail: p.buffer.B[at:p.used], Size: size, InBuffer: true}, " 1 ")
}

func (p *publisher) end() {
	if p.buffer != nil {
		p.buffer.Release()
	}
}

// pattern makes a body that tells where it belongs.
func pattern(publisher, seq, size int) []byte {
	b := fmt.Appendf(nil, "%d %d ", publisher, seq)
	for len(b) < size {
		b = append(b, byte('a'+(seq+len(b))%26))
	}
	return b
}

func newConn(nc net.Conn, slots *egress.Slots, limits *egress.Limits, failed chan<- egress.Reason) *egress.Conn {
	return egress.New(nc, slots, limits, func(r egress.Reason) { failed <- r })
}

func roomy() *egress.Limits {
	return &egress.Limits{MaxPending: 1 << 30, WriteDeadline: patience}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}
