package conn

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
)

// loopback is a Host with raw clients over real sockets, which allocate nothing
// themselves.
type loopback struct {
	tb       testing.TB
	host     *Host
	listener net.Listener
	in       []byte
}

func newLoopback(tb testing.TB) *loopback {
	tb.Helper()
	limits := account.Limits{Connections: account.NoLimit, Leafs: account.NoLimit, Subscriptions: account.NoLimit, Payload: account.NoLimit}
	h := &Host{
		Auth: &auth.Open{Account: account.New("$G", account.NoUsage{}, &account.State{Limits: limits})},
		Log:  slog.New(slog.DiscardHandler), Info: Info{ServerID: "ID", Headers: true, MaxPayload: 1 << 20},
	}
	h.SetOptions(DefaultOptions())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = h.Run(ctx) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = l.Close()
		h.Close(context.Background(), 0)
		cancel()
		running.Wait()
	})
	return &loopback{tb: tb, host: h, listener: l, in: make([]byte, 256<<10)}
}

// client connects and says something; whatever the broker answers until its
// first PONG is passed over.
func (l *loopback) client(say string) net.Conn {
	l.tb.Helper()
	far, err := net.Dial("tcp", l.listener.Addr().String())
	if err != nil {
		l.tb.Fatal(err)
	}
	l.tb.Cleanup(func() { _ = far.Close() })
	near, err := l.listener.Accept()
	if err != nil {
		l.tb.Fatal(err)
	}
	l.host.Go(near)
	l.write(far, []byte(`CONNECT {"verbose":false,"pedantic":false,"headers":true}`+"\r\n"+say+"PING\r\n"))
	for got := 0; !bytes.HasSuffix(l.in[:got], []byte("PONG\r\n")); {
		n, err := far.Read(l.in[got:])
		if err != nil {
			l.tb.Fatal(err)
		}
		got += n
	}
	return far
}

func (l *loopback) write(c net.Conn, b []byte) {
	if _, err := c.Write(b); err != nil {
		l.tb.Fatal(err)
	}
}

// read reads so many bytes.
func (l *loopback) read(c net.Conn, n int) {
	if _, err := io.ReadFull(c, l.in[:n]); err != nil {
		l.tb.Fatal(err)
	}
}

// messages returns n messages as a publisher writes them, and how many bytes a
// subscriber with the id 1 gets.
func messages(n, size int) (out []byte, in int) {
	body := bytes.Repeat([]byte("x"), size)
	for range n {
		out = fmt.Appendf(out, "PUB foo.bar %d\r\n%s\r\n", size, body)
		in += len(fmt.Sprintf("MSG foo.bar 1 %d\r\n%s\r\n", size, body))
	}
	return out, in
}

// From socket to socket, a message costs no memory: what a batch needs comes from
// pools, of which the collector may empty some meanwhile.
func TestDeliveringAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const batch, subscribers = 200, 3
	l := newLoopback(t)
	var subs []net.Conn
	for range subscribers {
		subs = append(subs, l.client("SUB foo.* 1\r\n"))
	}
	pub := l.client("")
	out, in := messages(batch, 64)
	n := testing.AllocsPerRun(100, func() {
		l.write(pub, out)
		for _, c := range subs {
			l.read(c, in)
		}
	})
	if most := float64(batch) / 20; n > most {
		t.Errorf("%v allocations for %d messages to %d subscribers, at most %v are fine", n, batch, subscribers, most)
	}
}

// BenchmarkLoopback sends messages from a client through the broker to others,
// over real sockets. An operation is one delivery.
func BenchmarkLoopback(b *testing.B) {
	for _, c := range []struct{ subscribers, batch, size int }{{1, 1, 128}, {1, 256, 16}, {1, 256, 128}, {10, 64, 128}, {1, 4, 16 << 10}} {
		b.Run(fmt.Sprintf("to=%d/batch=%d/size=%d", c.subscribers, c.batch, c.size), func(b *testing.B) {
			l := newLoopback(b)
			var subs []net.Conn
			for range c.subscribers {
				subs = append(subs, l.client("SUB foo.bar 1\r\n"))
			}
			pub := l.client("")
			out, in := messages(c.batch, c.size)
			b.ReportAllocs()
			b.SetBytes(int64(c.size))
			b.ResetTimer()
			for n := 0; n < b.N; n += c.batch * c.subscribers {
				l.write(pub, out)
				for _, s := range subs {
					l.read(s, in)
				}
			}
		})
	}
}

// BenchmarkRequest is a request and its answer, both over real sockets.
func BenchmarkRequest(b *testing.B) {
	l := newLoopback(b)
	asks, answers := l.client("SUB reply 1\r\n"), l.client("SUB ask 1\r\n")
	request, answer := []byte("PUB ask reply 2\r\nhi\r\n"), []byte("PUB reply 2\r\nok\r\n")
	b.ReportAllocs()
	for b.Loop() {
		l.write(asks, request)
		l.read(answers, len("MSG ask 1 reply 2\r\nhi\r\n"))
		l.write(answers, answer)
		l.read(asks, len("MSG reply 1 2\r\nok\r\n"))
	}
}

// BenchmarkConnect is a connect without credentials, to the first PONG.
func BenchmarkConnect(b *testing.B) {
	l := newLoopback(b)
	b.ReportAllocs()
	for b.Loop() {
		c := l.client("")
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	deadline := time.Now().Add(time.Minute)
	for l.host.Len() > 0 && time.Now().Before(deadline) {
		<-time.After(time.Millisecond)
	}
}
