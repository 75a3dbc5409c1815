package dataplane_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/secure"
	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
)

// startFile runs a broker that stands alone with a configuration.
func startFile(t *testing.T, text string) *dataplane.Broker {
	t.Helper()
	o := loadText(t, text)
	return startWith(t, dataplane.Config{Access: &o.Access, Clients: &o.Clients, Limits: o.Covey.Limits, StateDir: o.Covey.StateDir})
}

func loadText(t *testing.T, text string) *config.Options {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broker.conf")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	o, err := config.Load(path)
	must(t, err)
	return o
}

// official connects a client as people do, and counts what it is told.
type official struct {
	*nats.Conn
	errs, disconnects, closes atomic.Int64
	full                      atomic.Int64 // how many of errs say that it has too many subscriptions
	last                      atomic.Pointer[error]
}

func dialOfficial(t *testing.T, b *dataplane.Broker, opts ...nats.Option) *official {
	t.Helper()
	o := &official{}
	o.Conn = dial(t, b, append(opts,
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrMaxSubscriptionsExceeded) {
				o.full.Add(1)
			}
			o.last.Store(&err)
			o.errs.Add(1)
		}),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { o.disconnects.Add(1) }),
		nats.ClosedHandler(func(*nats.Conn) { o.closes.Add(1) }),
		nats.ReconnectWait(10*time.Millisecond))...)
	return o
}

// TestOfficialClientsStayConnected goes over every limit whose policy is to
// refuse: nats.go hears of it, and goes on.
func TestOfficialClientsStayConnected(t *testing.T) {
	for _, c := range []struct {
		limit string
		over  func(t *testing.T, nc *nats.Conn)
		told  error
		text  string
	}{
		{`msgs_in: "1/5/refuse"`, publish, nats.ErrPermissionViolation, `violation for publish to "a", over the limit msgs-in`},
		{`bytes_in: "1/50/refuse"`, publish, nats.ErrPermissionViolation, `over the limit bytes-in`},
		{`msgs_out: "1/5/refuse"`, publish, nats.ErrPermissionViolation, `over the limit msgs-out`},
		{`bytes_out: "1/50/refuse"`, publish, nats.ErrPermissionViolation, `over the limit bytes-out`},
		{`subscribes: "1/5/refuse"`, subscribe, nats.ErrPermissionViolation, `violation for subscription to "s.`},
		{`subscriptions: 5`, subscribe, nats.ErrMaxSubscriptionsExceeded, `maximum subscriptions exceeded`},
	} {
		t.Run(strings.Fields(c.limit)[0], func(t *testing.T) {
			b := startFile(t, "accounts { A { covey { "+c.limit+" }, users: [{user: a, password: a}] } }")
			nc := dialOfficial(t, b, nats.UserInfo("a", "a"))
			_, err := nc.Subscribe("a", func(*nats.Msg) {})
			must(t, err)
			must(t, nc.Flush())
			c.over(t, nc.Conn)
			must(t, nc.Flush())
			eventually(t, "the client is told", func() bool { return nc.errs.Load() > 0 })
			told := *nc.last.Load()
			if !errors.Is(told, c.told) || !strings.Contains(strings.ToLower(told.Error()), c.text) {
				t.Errorf("it was told %v, want %v with %q", told, c.told, c.text)
			}
			must(t, nc.Flush())
			if !nc.IsConnected() || nc.disconnects.Load()+nc.closes.Load() > 0 {
				t.Errorf("status %v after %d disconnects", nc.Status(), nc.disconnects.Load())
			}
		})
	}
}

func publish(t *testing.T, nc *nats.Conn) {
	t.Helper()
	for range 10 {
		must(t, nc.Publish("a", []byte("0123456789")))
	}
}

func subscribe(t *testing.T, nc *nats.Conn) {
	t.Helper()
	for i := range 10 {
		_, err := nc.Subscribe(fmt.Sprintf("s.%d", i), func(*nats.Msg) {})
		must(t, err)
	}
}

// TestOfficialClientsComeBack goes over limits that end connections: nats.go
// reconnects by itself.
func TestOfficialClientsComeBack(t *testing.T) {
	for name, c := range map[string]struct {
		limit string
		over  func(t *testing.T, nc *nats.Conn)
	}{
		"publish":   {`msgs_in: "100/5/close"`, publish},
		"deliver":   {`msgs_out: "100/5/close"`, publish},
		"subscribe": {`subscribes: "100/5/close"`, subscribe},
	} {
		t.Run(name, func(t *testing.T) {
			b := startFile(t, "accounts { A { covey { "+c.limit+" }, users: [{user: a, password: a}] } }")
			nc := dialOfficial(t, b, nats.UserInfo("a", "a"), nats.MaxReconnects(-1))
			_, err := nc.Subscribe("a", func(*nats.Msg) {})
			must(t, err)
			must(t, nc.Flush())
			// On a slow machine the rate may give what it takes while it is asked.
			eventually(t, "it is disconnected", func() bool {
				if nc.disconnects.Load() == 0 {
					c.over(t, nc.Conn)
				}
				return nc.disconnects.Load() > 0
			})
			eventually(t, "it is connected again", nc.IsConnected)
			if nc.closes.Load() > 0 {
				t.Error("it gave up")
			}
		})
	}
}

// TestOfficialClientsWaitToConnect reconnects into a rate of connects.
func TestOfficialClientsWaitToConnect(t *testing.T) {
	b := startFile(t, `accounts { A { covey { connects: "20/1" }, users: [{user: a, password: a}] } }`)
	nc := dialOfficial(t, b, nats.UserInfo("a", "a"), nats.MaxReconnects(-1))
	must(t, nc.ForceReconnect())
	eventually(t, "it is away", func() bool { return nc.disconnects.Load() > 0 })
	eventually(t, "it is connected again", nc.IsConnected)
	if nc.closes.Load() > 0 {
		t.Error("it gave up")
	}
}

// TestSlowedBehindTLS slows a client behind TLS and loses nothing.
func TestSlowedBehindTLS(t *testing.T) {
	authority := securetest.NewAuthority(t)
	o := loadText(t, `accounts { A { covey { msgs_in: "5000/10" }, users: [{user: a, password: a}] } }`)
	o.Clients.TLS = limits(t, secure.Options{Certificates: []secure.KeyPair{authority.Server(t)}}).TLS
	b := startWith(t, dataplane.Config{Access: &o.Access, Clients: &o.Clients})
	nc := dial(t, b, nats.UserInfo("a", "a"), nats.Secure(authority.Config(t)))
	var got atomic.Int64
	var bytes atomic.Int64
	_, err := nc.Subscribe("a", func(m *nats.Msg) { got.Add(1); bytes.Add(int64(len(m.Data))) })
	must(t, err)
	const n, size = 2000, 5000
	start := time.Now()
	for range n {
		must(t, nc.Publish("a", make([]byte, size)))
	}
	must(t, nc.FlushTimeout(time.Minute))
	eventually(t, "all arrive", func() bool { return got.Load() == n && bytes.Load() == n*size })
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("%d messages at 5000 a second took %v", n, took)
	}
}

// TestDefaultLimits gives accounts what they do not state themselves.
func TestDefaultLimits(t *testing.T) {
	b := startFile(t, `
		covey { limits { subscriptions: 2 } }
		accounts { A { users: [{user: a, password: a}] }, B { covey { subscriptions: 4 }, users: [{user: b, password: b}] } }`)
	for user, most := range map[string]int{"a": 2, "b": 4} {
		nc := dialOfficial(t, b, nats.UserInfo(user, user))
		subscribe(t, nc.Conn)
		must(t, nc.Flush())
		eventually(t, "the refusals of "+user, func() bool { return nc.errs.Load() == int64(10-most) })
	}
}

// TestReloadLimits changes limits under connected clients.
func TestReloadLimits(t *testing.T) {
	text := func(limit string) string {
		return "accounts { A { covey { " + limit + " }, users: [{user: a, password: a}] } }"
	}
	b := startFile(t, text(`msgs_in: "1/5/refuse"`))
	nc := dialOfficial(t, b, nats.UserInfo("a", "a"))
	sub, err := nc.SubscribeSync("a")
	must(t, err)
	admitted := func() int {
		publish(t, nc.Conn)
		must(t, nc.Flush())
		n, _, err := sub.Pending()
		must(t, err)
		return n
	}
	before := admitted()
	eventually(t, "a refusal", func() bool { return nc.errs.Load() > 0 })
	must(t, b.Reload(&loadText(t, text(`subscriptions: 5`)).Access, nil))
	if after := admitted(); after != before+10 || nc.disconnects.Load() != 0 {
		t.Errorf("%d messages of 10 and %d disconnects after the limit was lifted", after-before, nc.disconnects.Load())
	}
	subscribe(t, nc.Conn)
	must(t, nc.Flush())
	eventually(t, "the new limit", func() bool { return nc.full.Load() == 6 }) // it had one
}
