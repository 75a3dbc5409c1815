package dropin_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// served is a server with a client's view of it.
type served struct {
	*process
	t    *testing.T
	port string
	args []string
}

// serve starts a server on a port that stays the same over restarts.
func serve(t *testing.T, text string, args ...string) *served {
	t.Helper()
	s := &served{t: t, port: freePort(t)}
	s.args = append([]string{"-a", "127.0.0.1", "-p", s.port, "-c", conf(t, text)}, args...)
	s.restart()
	return s
}

func (s *served) restart() {
	s.t.Helper()
	s.process = start(s.t, s.args...)
	s.says(s.t, "Server is ready")
}

func (s *served) connect(opts ...nats.Option) *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect("nats://127.0.0.1:"+s.port, append([]nats.Option{
		nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1), nats.Timeout(patience),
	}, opts...)...)
	must(s.t, err)
	s.t.Cleanup(nc.Close)
	return nc
}

func next(t *testing.T, sub *nats.Subscription) *nats.Msg {
	t.Helper()
	m, err := sub.NextMsg(patience)
	must(t, err)
	return m
}

// errs gives what a connection reports by itself.
func errs() (nats.Option, <-chan error) {
	c := make(chan error, 16)
	return nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case c <- err:
		default:
		}
	}), c
}

// clientFeatures are what nats.go does with a server, each from its documentation.
var clientFeatures = map[string]func(t *testing.T, s *served){ //nolint:gochecknoglobals // a table
	"headers": func(t *testing.T, s *served) {
		nc := s.connect()
		sub, err := nc.SubscribeSync("h")
		must(t, err)
		out := nats.NewMsg("h")
		out.Header.Add("A", "1")
		out.Header.Add("A", "2")
		out.Header.Set("lower-case", "ü")
		out.Data = []byte("data")
		must(t, nc.PublishMsg(out))
		m := next(t, sub)
		if strings.Join(m.Header.Values("A"), ",") != "1,2" || m.Header["lower-case"][0] != "ü" || string(m.Data) != "data" || !nc.HeadersSupported() {
			t.Errorf("got %v %q", m.Header, m.Data)
		}
	},
	"no responders": func(t *testing.T, s *served) {
		nc := s.connect()
		if _, err := nc.Request("nobody", nil, patience); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("Request: %v", err)
		}
		sub, err := nc.SubscribeSync(nc.NewInbox())
		must(t, err)
		must(t, nc.PublishRequest("nobody", sub.Subject, nil))
		if m, err := sub.NextMsg(patience); err == nil && (m.Header.Get("Status") != "503" || len(m.Data) > 0) {
			t.Errorf("got %v %q", m.Header, m.Data)
		} else if err != nil && !errors.Is(err, nats.ErrNoResponders) {
			t.Error(err)
		}
	},
	"requests": func(t *testing.T, s *served) {
		for _, opts := range [][]nats.Option{nil, {nats.UseOldRequestStyle()}, {nats.CustomInboxPrefix("_MINE")}} {
			nc := s.connect(opts...)
			sub, err := nc.Subscribe("svc."+nc.NewInbox(), func(m *nats.Msg) { must(t, m.Respond(append(m.Data, '!'))) })
			must(t, err)
			must(t, nc.Flush())
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					m, err := nc.Request(sub.Subject, fmt.Append(nil, i), patience)
					if err != nil || string(m.Data) != fmt.Sprintf("%d!", i) {
						t.Errorf("request %d: %v", i, err)
					}
				})
			}
			wg.Wait()
		}
	},
	"many answers": func(t *testing.T, s *served) {
		nc := s.connect()
		for range 3 {
			_, err := nc.Subscribe("many", func(m *nats.Msg) {
				for range 10 {
					must(t, m.Respond([]byte("x")))
				}
			})
			must(t, err)
		}
		sub, err := nc.SubscribeSync(nc.NewInbox())
		must(t, err)
		must(t, nc.PublishRequest("many", sub.Subject, nil))
		for range 30 {
			next(t, sub)
		}
	},
	"queue groups": func(t *testing.T, s *served) {
		nc := s.connect()
		var one, two, all atomic.Int32
		count := func(n *atomic.Int32) nats.MsgHandler { return func(*nats.Msg) { n.Add(1) } }
		for _, group := range []struct {
			name string
			got  *atomic.Int32
		}{{"one", &one}, {"one", &one}, {"two", &two}} {
			member := s.connect()
			_, err := member.QueueSubscribe("q", group.name, count(group.got))
			must(t, err)
			must(t, member.Flush())
		}
		_, err := nc.Subscribe("q", count(&all))
		must(t, err)
		for range 100 {
			must(t, nc.Publish("q", nil))
		}
		t.Cleanup(func() { t.Logf("one %d, two %d, all %d", one.Load(), two.Load(), all.Load()) })
		eventually(t, "each group has each once", func() bool { return one.Load() == 100 && two.Load() == 100 && all.Load() == 100 })
	},
	"auto-unsubscribe": func(t *testing.T, s *served) {
		nc := s.connect()
		sub, err := nc.SubscribeSync("auto")
		must(t, err)
		must(t, sub.AutoUnsubscribe(3))
		for range 10 {
			must(t, nc.Publish("auto", nil))
		}
		must(t, nc.Flush())
		for range 3 {
			next(t, sub)
		}
		if _, err := sub.NextMsg(time.Millisecond); err == nil {
			t.Error("a fourth message")
		}
	},
	"drain": func(t *testing.T, s *served) {
		nc, other := s.connect(), s.connect()
		var n atomic.Int32
		closed := make(chan struct{})
		nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
		_, err := nc.Subscribe("d", func(*nats.Msg) { n.Add(1) })
		must(t, err)
		must(t, nc.Flush())
		for range 100 {
			must(t, other.Publish("d", nil))
		}
		must(t, other.Flush())
		must(t, nc.Drain())
		<-closed
		if n.Load() != 100 {
			t.Errorf("%d messages", n.Load())
		}
	},
	"no echo": func(t *testing.T, s *served) {
		nc := s.connect(nats.NoEcho())
		own, err := nc.SubscribeSync("e")
		must(t, err)
		others, err := s.connect().SubscribeSync("e")
		must(t, err)
		eventually(t, "the others hear it", func() bool {
			must(t, nc.Publish("e", nil))
			_, err := others.NextMsg(20 * time.Millisecond)
			return err == nil
		})
		must(t, nc.Flush())
		if n, _, err := own.Pending(); err != nil || n != 0 {
			t.Errorf("%d of its own, %v", n, err)
		}
	},
	"reconnect": func(t *testing.T, s *served) {
		back, gone := make(chan struct{}, 1), make(chan struct{}, 1)
		nc := s.connect(nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }), nats.DisconnectErrHandler(func(*nats.Conn, error) { gone <- struct{}{} }))
		sub, err := nc.SubscribeSync("r")
		must(t, err)
		must(t, nc.Flush())
		s.signal(t, syscall.SIGKILL)
		s.ends(t)
		<-gone
		must(t, nc.Publish("r", []byte("meanwhile")))
		s.restart()
		<-back
		if m := next(t, sub); string(m.Data) != "meanwhile" {
			t.Errorf("got %q", m.Data)
		}
		must(t, nc.ForceReconnect())
		<-gone
		<-back
		must(t, nc.Publish("r", []byte("again")))
		if m := next(t, sub); string(m.Data) != "again" {
			t.Errorf("got %q", m.Data)
		}
	},
	"connects before the server is there": func(t *testing.T, s *served) {
		s.signal(t, syscall.SIGTERM)
		s.ends(t)
		nc := s.connect(nats.RetryOnFailedConnect(true))
		sub, err := nc.SubscribeSync("w")
		must(t, err)
		must(t, nc.Publish("w", nil))
		s.restart()
		next(t, sub)
	},
	"lame duck": func(t *testing.T, s *served) {
		told := make(chan struct{}, 1)
		nc := s.connect(nats.LameDuckModeHandler(func(*nats.Conn) { told <- struct{}{} }))
		must(t, nc.Flush())
		s.signal(t, syscall.SIGUSR2)
		<-told
		sub, err := nc.SubscribeSync("l") // it still works
		must(t, err)
		must(t, nc.Publish("l", nil))
		next(t, sub)
	},
	"payload limit": func(t *testing.T, s *served) {
		nc := s.connect()
		if nc.MaxPayload() != 1000 {
			t.Errorf("max_payload %d", nc.MaxPayload())
		}
		if err := nc.Publish("p", make([]byte, 1001)); !errors.Is(err, nats.ErrMaxPayload) {
			t.Errorf("Publish: %v", err)
		}
		must(t, nc.Publish("p", make([]byte, 1000)))
		must(t, nc.Flush())
	},
	"permissions": func(t *testing.T, s *served) {
		handler, reported := errs()
		nc := s.connect(nats.UserInfo("limited", "p"), handler, nats.PermissionErrOnSubscribe(true))
		must(t, nc.Publish("denied", nil))
		must(t, nc.Flush())
		if err := <-reported; !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `Publish to "denied"`) {
			t.Errorf("publish: %v", err)
		}
		sub, err := nc.SubscribeSync("denied")
		must(t, err)
		must(t, nc.Flush())
		if err := <-reported; !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `Subscription to "denied"`) {
			t.Errorf("subscribe: %v", err)
		}
		if _, err := sub.NextMsg(patience); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("NextMsg: %v", err)
		}
		if !nc.IsConnected() {
			t.Error("the connection is gone")
		}
	},
	"wrong credentials": func(t *testing.T, s *served) {
		_, err := nats.Connect("nats://nobody:x@127.0.0.1:"+s.port, nats.MaxReconnects(0))
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("Connect: %v", err)
		}
	},
	"figures": func(t *testing.T, s *served) {
		nc := s.connect(nats.Name("me"))
		if rtt, err := nc.RTT(); err != nil || rtt <= 0 {
			t.Errorf("RTT: %v, %v", rtt, err)
		}
		id, err := nc.GetClientID()
		if err != nil || id == 0 || nc.ConnectedServerId() == "" || !strings.HasPrefix(nc.ConnectedServerVersion(), "2.15.") || nc.ConnectedAddr() != "127.0.0.1:"+s.port {
			t.Errorf("client %d (%v), server %q %q at %q", id, err, nc.ConnectedServerId(), nc.ConnectedServerVersion(), nc.ConnectedAddr())
		}
		if ip, err := nc.GetClientIP(); err != nil || ip.String() != "127.0.0.1" {
			t.Errorf("client IP: %v, %v", ip, err)
		}
		if nc.TLSRequired() {
			t.Error("TLS is said to be required")
		}
	},
	"pings": func(t *testing.T, s *served) {
		// The client's own PINGs find a server that is stopped.
		gone := make(chan error, 1)
		s.connect(nats.PingInterval(50*time.Millisecond), nats.MaxPingsOutstanding(2), nats.NoReconnect(),
			nats.ClosedHandler(func(nc *nats.Conn) { gone <- nc.LastError() }))
		s.signal(t, syscall.SIGSTOP)
		if err := <-gone; !errors.Is(err, nats.ErrStaleConnection) {
			t.Errorf("the end: %v", err)
		}
		s.signal(t, syscall.SIGCONT)
	},
	"verbose and pedantic": func(t *testing.T, s *served) {
		handler, reported := errs()
		nc := s.connect(func(o *nats.Options) error { o.Verbose, o.Pedantic = true, true; return nil }, handler)
		sub, err := nc.SubscribeSync("v")
		must(t, err)
		for range 100 {
			must(t, nc.Publish("v", []byte("x")))
		}
		for range 100 {
			next(t, sub)
		}
		select {
		case err := <-reported:
			t.Error(err)
		default:
		}
	},
	"slow in the client": func(t *testing.T, s *served) {
		handler, reported := errs()
		nc := s.connect(handler)
		sub, err := nc.SubscribeSync("s")
		must(t, err)
		must(t, sub.SetPendingLimits(10, -1))
		for range 100 {
			must(t, nc.Publish("s", nil))
		}
		must(t, nc.Flush())
		if err := <-reported; !errors.Is(err, nats.ErrSlowConsumer) {
			t.Error(err)
		}
	},
	"large and many": func(t *testing.T, s *served) {
		nc := s.connect()
		sub, err := nc.SubscribeSync("m.>")
		must(t, err)
		must(t, sub.SetPendingLimits(-1, -1))
		const n = 20_000
		for i := range n {
			must(t, nc.Publish(fmt.Sprintf("m.%d.x", i%1000), fmt.Append(nil, i)))
		}
		for i := range n {
			if m := next(t, sub); string(m.Data) != fmt.Sprint(i) || m.Subject != fmt.Sprintf("m.%d.x", i%1000) {
				t.Fatalf("message %d is %s %q", i, m.Subject, m.Data)
			}
		}
	},
}

func TestWhatNatsGoDoes(t *testing.T) {
	const text = `
max_payload: 1000
authorization {
  users: [
    {user: u, password: p}
    {user: limited, password: p, permissions: {publish: {deny: denied}, subscribe: {deny: denied}}}
  ]
}
no_auth_user: u
`
	both(t, func(t *testing.T) {
		for name, feature := range clientFeatures {
			t.Run(name, func(t *testing.T) { feature(t, serve(t, text)) })
		}
	})
}
