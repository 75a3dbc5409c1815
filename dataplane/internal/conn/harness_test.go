package conn_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

const patience = time.Minute

// usage counts what is billed to an account.
type usage struct {
	account.NoUsage
	published, publishedBytes, delivered, deliveredBytes atomic.Uint64
	poisoned                                             atomic.Bool
}

func (u *usage) Published(n, bytes uint64) {
	if u.poisoned.Load() {
		panic("poison")
	}
	u.published.Add(n)
	u.publishedBytes.Add(bytes)
}

func (u *usage) Delivered(n, bytes uint64) {
	u.delivered.Add(n)
	u.deliveredBytes.Add(bytes)
}

func unlimited() account.Limits {
	return account.Limits{Connections: account.NoLimit, Leafs: account.NoLimit, Subscriptions: account.NoLimit, Payload: account.NoLimit}
}

// broker is a Host with its accounts.
type broker struct {
	*conn.Host
	t        *testing.T
	usage    *usage // of the one account of an open broker
	listener net.Listener
}

// open runs a Host that lets everybody in.
func open(t *testing.T, change func(*conn.Host)) *broker {
	t.Helper()
	u := &usage{}
	global := account.New("$G", u, &account.State{Limits: unlimited()})
	b := &broker{t: t, usage: u, Host: &conn.Host{
		Auth: &auth.Open{Account: global}, Log: slog.New(slog.DiscardHandler),
		Info: conn.Info{ServerID: "ID", ServerName: "name", Version: "2.15.2", Proto: 1, Go: "go", Host: "h", Port: 1, Headers: true, MaxPayload: 1 << 20},
	}}
	b.SetOptions(conn.DefaultOptions())
	if change != nil {
		change(b.Host)
	}
	b.run()
	return b
}

// payer is a source that wants to see what its accounts are charged.
type payer interface{ usage(key string) *usage }

// enrolled runs a Host that asks an operator's accounts.
func enrolled(t *testing.T, op *operatortest.Operator, source account.Source, change func(*conn.Host)) (*broker, *account.Registry) {
	t.Helper()
	r := account.NewRegistry(op.Key, source, func(key string) (account.Usage, error) {
		u := &usage{}
		if p, ok := source.(payer); ok {
			u = p.usage(key)
		}
		return u, nil
	}, slog.New(slog.DiscardHandler))
	if err := r.SetOperator(op.JWT); err != nil {
		t.Fatal(err)
	}
	return open(t, func(h *conn.Host) {
		h.Auth, h.Accounts = auth.NewOperator(r), r
		if change != nil {
			change(h)
		}
	}), r
}

func (b *broker) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = b.Run(ctx) })
	b.t.Cleanup(func() {
		b.Close(context.Background(), 0)
		cancel()
		running.Wait()
	})
}

// client is a raw client.
type client struct {
	t  *testing.T
	nc net.Conn
	in *bufio.Reader
	// info is what the broker said first.
	info conn.Info
	// unpinged is whether the broker's PINGs are passed over: on a slow machine they
	// come whenever two seconds have gone by.
	unpinged bool
}

// dial connects over a socket.
func (b *broker) dial() *client {
	b.t.Helper()
	if b.listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.t.Fatal(err)
		}
		b.listener = l
		b.t.Cleanup(func() { _ = l.Close() })
	}
	far, err := net.Dial("tcp", b.listener.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	near, err := b.listener.Accept()
	if err != nil {
		b.t.Fatal(err)
	}
	c := b.greet(near, far)
	c.unpinged = true
	return c
}

// pipe connects in memory, for tests with a clock of their own.
func (b *broker) pipe() *client {
	near, far := net.Pipe()
	return b.greet(near, far)
}

func (b *broker) greet(near, far net.Conn) *client {
	b.t.Helper()
	c := &client{t: b.t, nc: far, in: bufio.NewReader(far)}
	b.t.Cleanup(func() { _ = far.Close() })
	b.Go(near)
	line := c.line()
	if !strings.HasPrefix(line, "INFO ") {
		b.t.Fatalf("the first line was %q", line)
	}
	if err := json.Unmarshal([]byte(line[5:]), &c.info); err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	_ = c.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.nc.Write([]byte(text)); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// line reads a line, without its end.
func (c *client) line() string {
	c.t.Helper()
	s, err := c.read()
	if err != nil {
		c.t.Fatalf("read: %v after %q", err, s)
	}
	return strings.TrimSuffix(s, "\r\n")
}

// read reads a line with its end, or what comes before the end of all.
func (c *client) read() (string, error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	for {
		s, err := c.in.ReadString('\n')
		if err != nil || s != "PING\r\n" || !c.unpinged {
			return s, err
		}
	}
}

// expect reads lines and compares them.
func (c *client) expect(lines ...string) {
	c.t.Helper()
	for _, want := range lines {
		if got := c.line(); got != want {
			c.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// expectEnd reads to the end; nothing but these lines may come.
func (c *client) expectEnd(lines ...string) {
	c.t.Helper()
	c.expect(lines...)
	if s, err := c.read(); err == nil || s != "" {
		c.t.Fatalf("got %q, want the end", s)
	}
}

// connect greets back, quietly, and waits until it is done.
func (c *client) connect(fields string) {
	c.t.Helper()
	c.send(`CONNECT {"verbose":false,"pedantic":false` + fields + "}\r\nPING\r\n")
	c.expect("PONG")
}

// login authenticates as a user.
func (c *client) login(u *operatortest.User) {
	c.t.Helper()
	c.send(credentials(c, u) + "PING\r\n")
	c.expect("PONG")
}

func credentials(c *client, u *operatortest.User) string {
	return fmt.Sprintf(`CONNECT {"verbose":false,"pedantic":false,"headers":true,"jwt":%q,"sig":%q}`+"\r\n", u.Token, u.Sign(c.info.Nonce))
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
