package dataplane_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/secure"
	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
	"github.com/coveymq/covey/internal/lifecycle"
)

// startWith runs a broker until the test ends.
func startWith(t *testing.T, cfg dataplane.Config) *dataplane.Broker {
	t.Helper()
	cfg.MonitorAddr, cfg.Version = "127.0.0.1:0", "test"
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Drain = dataplane.Drain{Grace: time.Millisecond}
	b, err := dataplane.New(t.Context(), cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	g := lifecycle.NewGroup(ctx)
	g.Go(b.Run)
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return b
}

// limits returns the options of connections behind TLS.
func limits(t *testing.T, o secure.Options) *conn.Options {
	t.Helper()
	s, err := secure.Load(o)
	must(t, err)
	c := conn.DefaultOptions()
	c.TLS = s
	return &c
}

func startTLS(t *testing.T, o secure.Options) *dataplane.Broker {
	t.Helper()
	return startWith(t, dataplane.Config{Clients: limits(t, o)})
}

func addr(b *dataplane.Broker) string { return strings.TrimPrefix(b.ClientURL(), "nats://") }

// open connects a socket and reads INFO from it.
func open(t *testing.T, b *dataplane.Broker) (net.Conn, string) {
	t.Helper()
	nc := plug(t, b)
	return nc, line(t, nc)
}

func plug(t *testing.T, b *dataplane.Broker) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr(b))
	must(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	must(t, nc.SetDeadline(time.Now().Add(time.Minute)))
	return nc
}

// line reads a line, a byte at a time so that nothing behind it is taken.
func line(t *testing.T, r io.Reader) string {
	t.Helper()
	var all []byte
	for b := make([]byte, 1); !bytes.HasSuffix(all, []byte("\n")); all = append(all, b[0]) {
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatalf("read %q, then %v", all, err)
		}
	}
	return strings.TrimSpace(string(all))
}

// upgrade does the client's handshake.
func upgrade(t *testing.T, nc net.Conn, config *tls.Config) *tls.Conn {
	t.Helper()
	c := tls.Client(nc, config)
	must(t, c.Handshake())
	return c
}

func TestTLS(t *testing.T) {
	ca := securetest.NewAuthority(t)
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			b := startTLS(t, secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}})
			config := ca.Config(t)
			config.MaxVersion = version
			nc := dial(t, b, nats.Secure(config))
			_, err := nc.Subscribe("svc", func(m *nats.Msg) { _ = m.Respond(m.Data) })
			must(t, err)
			must(t, nc.Flush())
			caller := dial(t, b, nats.Secure(config))
			for _, n := range []int{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 64 << 10, 300 << 10, 1 << 20} {
				data := make([]byte, n)
				for i := range data {
					data[i] = byte(i * 7)
				}
				m, err := caller.Request("svc", data, time.Minute)
				must(t, err)
				if !bytes.Equal(m.Data, data) {
					t.Errorf("%d bytes came back changed", n)
				}
			}
		})
	}
}

// Many small messages in both directions at once, in order.
func TestTLSUnderLoad(t *testing.T) {
	ca := securetest.NewAuthority(t)
	b := startTLS(t, secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}})
	const n, fan = 20000, 3
	var subs []*nats.Subscription
	for range fan {
		nc := dial(t, b, nats.Secure(ca.Config(t)))
		s, err := nc.SubscribeSync("load")
		must(t, err)
		must(t, s.SetPendingLimits(-1, -1))
		must(t, nc.Flush())
		subs = append(subs, s)
	}
	pub := dial(t, b, nats.Secure(ca.Config(t)))
	for i := range n {
		must(t, pub.Publish("load", fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", i%200))))
	}
	must(t, pub.Flush())
	for _, s := range subs {
		for i := range n {
			m, err := s.NextMsg(time.Minute)
			must(t, err)
			if want := fmt.Sprintf("%d ", i); !strings.HasPrefix(string(m.Data), want) {
				t.Fatalf("message %d is %q", i, m.Data)
			}
		}
	}
}

func TestMutualTLS(t *testing.T) {
	ca, other := securetest.NewAuthority(t), securetest.NewAuthority(t)
	someone := func(c *x509.Certificate) { c.Subject.CommonName = "someone" }
	good, cert := ca.Client(t, someone)
	second, _ := ca.Client(t, someone)
	foreign, _ := other.Client(t, someone)
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	o := secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}, CAFile: ca.CAFile, Verify: true}
	pinned := o
	pinned.PinnedKeys = []string{strings.ToUpper(hex.EncodeToString(sum[:]))}
	for _, test := range []struct {
		name   string
		o      secure.Options
		config *tls.Config
		ok     bool
	}{
		{"the right certificate", o, ca.Config(t, good), true},
		{"another of the same authority", o, ca.Config(t, second), true},
		{"none", o, ca.Config(t), false},
		{"one of another authority", o, ca.Config(t, foreign), false},
		{"the pinned one", pinned, ca.Config(t, good), true},
		{"one that is not pinned", pinned, ca.Config(t, second), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := startTLS(t, test.o)
			nc, err := natsConnect(b.ClientURL(), nats.Secure(test.config))
			if (err == nil) != test.ok {
				t.Errorf("Connect = %v", err)
			}
			if nc != nil {
				nc.Close()
			}
		})
	}
}

// Who says nothing, or half of a hello, is gone after the timeout.
func TestTLSHandshakeTimeout(t *testing.T) {
	ca := securetest.NewAuthority(t)
	b := startTLS(t, secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}, Timeout: 50 * time.Millisecond})
	for _, said := range []string{"", "\x16\x03\x01\x02\x00\x01"} {
		nc, _ := open(t, b)
		_, _ = io.WriteString(nc, said) // it may be over by now
		if _, err := io.ReadAll(nc); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %q: %v, want the end", said, err)
		}
	}
}

// A broker that shuts down does not wait for handshakes.
func TestShutdownDuringHandshake(t *testing.T) {
	ca := securetest.NewAuthority(t)
	b := startTLS(t, secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}, Timeout: time.Hour})
	open(t, b) // the broker's Run is awaited when the test ends
}

// Who talks no TLS where it is required gets nothing but the end.
func TestPlainTalkWhereTLSIsRequired(t *testing.T) {
	ca := securetest.NewAuthority(t)
	b := startTLS(t, secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}})
	nc, info := open(t, b)
	if !strings.Contains(info, `"tls_required":true`) {
		t.Errorf("INFO = %s", info)
	}
	_, err := io.WriteString(nc, "CONNECT {}\r\nPING\r\n")
	must(t, err)
	if got, _ := io.ReadAll(nc); bytes.Contains(got, []byte("PONG")) {
		t.Errorf("it was answered: %q", got)
	}
}

// close_notify is answered with close_notify, also when the client keeps its
// half of the socket open, and an error is followed by one.
func TestTLSEndsCleanly(t *testing.T) {
	ca := securetest.NewAuthority(t)
	b := startTLS(t, secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}})
	t.Run("by the client", func(t *testing.T) {
		nc, _ := open(t, b)
		c := upgrade(t, nc, ca.Config(t))
		_, err := io.WriteString(c, "CONNECT {\"verbose\":false}\r\nPING\r\n")
		must(t, err)
		if got := line(t, c); got != "PONG" {
			t.Errorf("got %q", got)
		}
		must(t, c.CloseWrite())
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("then %q, %v", rest, err)
		}
	})
	t.Run("by the broker", func(t *testing.T) {
		nc, _ := open(t, b)
		c := upgrade(t, nc, ca.Config(t))
		_, err := io.WriteString(c, "NONSENSE\r\n")
		must(t, err)
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "-ERR 'Unknown Protocol Operation'\r\n" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("in the middle of the socket", func(t *testing.T) {
		nc, _ := open(t, b)
		c := upgrade(t, nc, ca.Config(t))
		_, err := io.WriteString(c, "CONNECT {}\r\nPUB a 100\r\nhalf")
		must(t, err)
		must(t, nc.(*net.TCPConn).CloseWrite()) // no close_notify: cut
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("then %v", err)
		}
	})
}

// Garbage behind the handshake is answered with an alert.
func TestTLSGarbage(t *testing.T) {
	ca := securetest.NewAuthority(t)
	b := startTLS(t, secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}})
	nc, _ := open(t, b)
	c := upgrade(t, nc, ca.Config(t))
	_, err := nc.Write(append([]byte{0x17, 3, 3, 0, 64}, make([]byte, 64)...))
	must(t, err)
	if _, err := io.ReadAll(c); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("the client saw %v, want the alert", err)
	}
}

// However the records are cut on their way, what is in them is understood.
func TestTLSByteByByte(t *testing.T) {
	ca := securetest.NewAuthority(t)
	b := startTLS(t, secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}})
	nc, _ := open(t, b)
	must(t, nc.(*net.TCPConn).SetNoDelay(true))
	c := upgrade(t, &dribble{Conn: nc}, ca.Config(t))
	_, err := io.WriteString(c, "CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 5\r\nhello\r\nPING\r\n")
	must(t, err)
	r := bufio.NewReader(c)
	for _, want := range []string{"MSG a 1 5", "hello", "PONG"} {
		if got := line(t, r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// dribble writes a byte at a time.
type dribble struct{ net.Conn }

func (d *dribble) Write(b []byte) (int, error) {
	for i := range b {
		if n, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(b), nil
}

// Certificates change for those that connect later; the others stay.
func TestTLSReload(t *testing.T) {
	before, after := securetest.NewAuthority(t), securetest.NewAuthority(t)
	b := startTLS(t, secure.Options{Certificates: []secure.KeyPair{before.Server(t)}})
	old := dial(t, b, nats.Secure(before.Config(t)), nats.NoReconnect())
	must(t, b.Reload(nil, limits(t, secure.Options{Certificates: []secure.KeyPair{after.Server(t)}})))
	dial(t, b, nats.Secure(after.Config(t)))
	if _, err := natsConnect(b.ClientURL(), nats.Secure(before.Config(t))); err == nil {
		t.Error("the old certificate is still shown")
	}
	must(t, old.Flush())
	must(t, b.Reload(nil, func() *conn.Options { o := conn.DefaultOptions(); return &o }()))
	dial(t, b)
	must(t, old.Flush())
}

func TestTLSRateLimit(t *testing.T) {
	ca := securetest.NewAuthority(t)
	b := startTLS(t, secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}, RateLimit: 2})
	refused := false
	for range 50 { // more than one second's worth, whenever the second begins
		nc, _ := open(t, b)
		c := tls.Client(nc, ca.Config(t))
		if err := c.Handshake(); err != nil {
			refused = true
			var notTLS tls.RecordHeaderError
			if !errors.As(err, &notTLS) {
				t.Errorf("refused with %v, want a line in clear", err)
			}
			break
		}
	}
	if !refused {
		t.Error("50 handshakes in a row were let in at 2 a second")
	}
	nc, _ := open(t, b)
	if got, _ := io.ReadAll(nc); len(got) > 0 && string(got) != "-ERR 'Connection throttling is active. Please try again later.'\r\n" {
		t.Errorf("got %q", got)
	}
}

// Both kinds of clients on one port, and handshakes before INFO.
func TestMixedAndFirst(t *testing.T) {
	ca := securetest.NewAuthority(t)
	pair := []secure.KeyPair{ca.Server(t)}
	t.Run("both", func(t *testing.T) {
		b := startTLS(t, secure.Options{Certificates: pair, AllowPlain: true})
		a, c := dial(t, b), dial(t, b, nats.Secure(ca.Config(t)))
		s, err := a.SubscribeSync("x")
		must(t, err)
		must(t, a.Flush())
		must(t, c.Publish("x", []byte("through")))
		m, err := s.NextMsg(time.Minute)
		must(t, err)
		if string(m.Data) != "through" {
			t.Errorf("got %q", m.Data)
		}
		_, info := open(t, b)
		if !strings.Contains(info, `"tls_available":true`) || strings.Contains(info, "tls_required") {
			t.Errorf("INFO = %s", info)
		}
	})
	t.Run("first", func(t *testing.T) {
		b := startTLS(t, secure.Options{Certificates: pair, First: true})
		must(t, dial(t, b, nats.Secure(ca.Config(t)), nats.TLSHandshakeFirst()).Flush())
		c := upgrade(t, plug(t, b), ca.Config(t))
		if info := line(t, c); !strings.Contains(info, `"tls_required":true`) {
			t.Errorf("INFO = %s", info)
		}
	})
	t.Run("first or not", func(t *testing.T) {
		b := startTLS(t, secure.Options{Certificates: pair, First: true, Fallback: 50 * time.Millisecond})
		must(t, dial(t, b, nats.Secure(ca.Config(t))).Flush())
		patient := startTLS(t, secure.Options{Certificates: pair, First: true, Fallback: time.Minute})
		c := upgrade(t, plug(t, patient), ca.Config(t))
		line(t, c)
	})
}

// A client behind TLS that reads nothing is a slow consumer as any other.
func TestTLSSlowConsumer(t *testing.T) {
	ca := securetest.NewAuthority(t)
	o := limits(t, secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}})
	o.Egress.MaxPending = 1 << 20
	b := startWith(t, dataplane.Config{Clients: o})
	nc, _ := open(t, b)
	c := upgrade(t, nc, ca.Config(t))
	_, err := io.WriteString(c, "CONNECT {\"verbose\":false}\r\nSUB flood 1\r\nPING\r\n")
	must(t, err)
	if got := line(t, c); got != "PONG" {
		t.Fatalf("got %q", got)
	}
	pub := dial(t, b, nats.Secure(ca.Config(t)))
	data := make([]byte, 64<<10)
	for range 400 {
		must(t, pub.Publish("flood", data))
	}
	must(t, pub.FlushTimeout(time.Minute))
	got, _ := io.Copy(io.Discard, c)
	if got >= 400*64<<10 {
		t.Error("it got everything")
	}
}
