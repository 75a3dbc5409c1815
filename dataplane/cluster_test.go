package dataplane_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/internal/lifecycle"
)

// member is one broker of a cluster under test, ours or a stock one.
type member interface {
	ClientURL() string
	RouteURL() string
}

// running is one of our brokers with a way to stop it before the test ends.
type running struct {
	*dataplane.Broker
	stop func()
	log  *testLog
}

// covey runs a broker of ours in a cluster until the test ends.
func covey(t *testing.T, pool int, seeds ...member) *running {
	t.Helper()
	c := &dataplane.Cluster{Name: "east", Listen: "127.0.0.1:0", PoolSize: pool}
	for _, s := range seeds {
		u, err := dataplane.ParseRouteURL(s.RouteURL())
		must(t, err)
		c.Routes = append(c.Routes, u)
	}
	return coveyConfig(t, dataplane.Config{Cluster: c})
}

// coveyConfig runs a broker that needs more than a cluster.
func coveyConfig(t *testing.T, cfg dataplane.Config) *running {
	t.Helper()
	log := &testLog{t: t}
	cfg.MonitorAddr, cfg.Version, cfg.Logger = "127.0.0.1:0", "test", slog.New(log)
	cfg.Drain = dataplane.Drain{Grace: time.Millisecond}
	b, err := dataplane.New(t.Context(), cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	g := lifecycle.NewGroup(ctx)
	g.Go(b.Run)
	var stopped atomic.Bool
	stop := func() {
		if stopped.Swap(true) {
			return
		}
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
	}
	t.Cleanup(stop)
	return &running{Broker: b, stop: stop, log: log}
}

// testLog writes warnings to the test's log, and remembers everything.
type testLog struct {
	t *testing.T

	mu  sync.Mutex
	all strings.Builder // guarded by mu
}

func (l *testLog) says(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.all.String(), text)
}

func (l *testLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *testLog) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.WriteString(r.Message + b.String() + "\n")
	if r.Level >= slog.LevelWarn {
		l.t.Log(r.Message + b.String())
	}
	return nil
}

func (l *testLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *testLog) WithGroup(string) slog.Handler      { return l }

// stockServer is a nats-server.
type stockServer struct{ *server.Server }

func (s stockServer) ClientURL() string { return s.Server.ClientURL() }
func (s stockServer) RouteURL() string  { return "nats-route://" + s.ClusterAddr().String() }

// stock runs a nats-server in a cluster until the test ends.
func stock(t *testing.T, pool int, seeds ...member) stockServer {
	t.Helper()
	o := &server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true,
		Cluster: server.ClusterOpts{Name: "east", Host: "127.0.0.1", Port: -1, PoolSize: pool},
	}
	for _, m := range seeds {
		u, err := url.Parse(m.RouteURL())
		must(t, err)
		o.Routes = append(o.Routes, u)
	}
	s, err := server.NewServer(o)
	must(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server does not start")
	}
	return stockServer{s}
}

func dialURL(t *testing.T, m member, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := natsConnect(m.ClientURL(), append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond)}, opts...)...)
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// meshed waits until a message from each member reaches all the others.
func meshed(t *testing.T, members ...member) {
	t.Helper()
	meshedAs(t, nil, members...)
}

// meshedAs does the same for the account of a user; nil for that of nobody.
func meshedAs(t *testing.T, user nats.Option, members ...member) {
	t.Helper()
	conns := make([]*nats.Conn, len(members))
	heard := make([]map[string]bool, len(members))
	subs := make([]*nats.Subscription, len(members))
	for i, m := range members {
		nc, err := natsConnect(m.ClientURL(), user)
		must(t, err)
		conns[i] = nc
		heard[i] = make(map[string]bool)
		subs[i], err = nc.SubscribeSync("test.mesh")
		must(t, err)
		must(t, nc.Flush())
	}
	eventually(t, "a full mesh", func() bool {
		for i, nc := range conns {
			must(t, nc.Publish("test.mesh", fmt.Append(nil, i)))
			must(t, nc.Flush())
		}
		for i, sub := range subs {
			for {
				m, err := sub.NextMsg(5 * time.Millisecond)
				if err != nil {
					break
				}
				heard[i][string(m.Data)] = true
			}
			if len(heard[i]) < len(members) {
				return false
			}
		}
		return true
	})
	for _, nc := range conns {
		nc.Close()
	}
}

// interested waits until a publisher at one member knows of a subscriber
// elsewhere: a request to nobody is answered, with no responders, before the PING
// that follows it.
func interested(t *testing.T, nc *nats.Conn, subj string) {
	t.Helper()
	eventually(t, "interest in "+subj, func() bool {
		inbox := nats.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		must(t, err)
		defer func() { _ = sub.Unsubscribe() }() // the connection may be closed by now
		must(t, nc.PublishRequest(subj, inbox, []byte("probe")))
		must(t, nc.Flush())
		_, err = sub.NextMsg(time.Millisecond)
		return !errors.Is(err, nats.ErrNoResponders)
	})
}

// carries checks what a pair of members has to carry, from one to the other.
func carries(t *testing.T, from, to member) {
	t.Helper()
	pub, far := dialURL(t, from), dialURL(t, to)
	got := make(chan *nats.Msg, 100)
	// Of its own: subscribers of an earlier call would be taken for these.
	root := strings.ReplaceAll(nats.NewInbox(), ".", "-")
	probe := func(m *nats.Msg) {
		if string(m.Data) != "probe" {
			got <- m
		}
	}
	for _, s := range []string{root + ".b", root + ".*", root + ".>"} {
		_, err := far.Subscribe(s, probe)
		must(t, err)
	}
	_, err := far.Subscribe("svc."+root, func(m *nats.Msg) { _ = m.Respond(append([]byte("re: "), m.Data...)) })
	must(t, err)
	interested(t, pub, root+".b")
	interested(t, pub, "svc."+root)
	must(t, pub.PublishMsg(&nats.Msg{Subject: root + ".b", Reply: "back", Data: []byte("hello"), Header: nats.Header{"K": {"v"}}}))
	for range 3 {
		select {
		case m := <-got:
			if m.Subject != root+".b" || m.Reply != "back" || string(m.Data) != "hello" || m.Header.Get("K") != "v" {
				t.Errorf("got %q %v on %s", m.Data, m.Header, m.Subject)
			}
		case <-time.After(time.Minute):
			t.Fatal("a message got lost")
		}
	}
	r, err := pub.Request("svc."+root, []byte("x"), time.Minute)
	must(t, err)
	if string(r.Data) != "re: x" {
		t.Errorf("answer = %q", r.Data)
	}
	for len(got) > 0 {
		if m := <-got; m.Subject == root+".b" {
			t.Errorf("delivered once more: %s %q", m.Subject, m.Data)
		}
	}
}

func TestRoutesWithStockServers(t *testing.T) {
	for _, c := range []struct {
		name        string
		ours, stock int
	}{
		{"no pool", -1, -1},
		{"no pool here", -1, 3},
		{"no pool there", 3, -1},
		{"pool", 3, 3},
		{"larger pool here", 5, 3},
		{"larger pool there", 2, 4},
	} {
		t.Run(c.name+"/soliciting", func(t *testing.T) {
			s := stock(t, c.stock)
			b := covey(t, c.ours, s)
			meshed(t, s, b)
			carries(t, s, b)
			carries(t, b, s)
		})
		t.Run(c.name+"/accepting", func(t *testing.T) {
			b := covey(t, c.ours)
			s := stock(t, c.stock, b)
			meshed(t, s, b)
			carries(t, s, b)
			carries(t, b, s)
		})
	}
}

func TestThreeBrokersLearnOfEachOther(t *testing.T) {
	for _, pool := range []int{-1, 3} {
		t.Run(fmt.Sprint(pool), func(t *testing.T) {
			a := covey(t, pool)
			b := covey(t, pool, a)
			c := covey(t, pool, a)
			meshed(t, a, b, c)
			carries(t, b, c)
			carries(t, c, b)
			nc := dialURL(t, a)
			eventually(t, "clients know all brokers", func() bool { return len(nc.Servers()) == 3 })
			want := 2
			if pool > 0 {
				want = 2 * (pool + 1)
			}
			eventually(t, "a full pool", func() bool { return len(routez(t, b).Routes) == want })
		})
	}
}

type routezAnswer struct {
	Routes []struct {
		RID           uint64   `json:"rid"`
		RemoteID      string   `json:"remote_id"`
		Account       string   `json:"account"`
		Compression   string   `json:"compression"`
		Subscriptions []string `json:"subscriptions_list"`
	} `json:"routes"`
}

func routez(t *testing.T, b *running) (out routezAnswer) {
	t.Helper()
	r, err := http.Get(b.MonitorURL() + "/routez?subs=1")
	must(t, err)
	defer r.Body.Close()
	must(t, json.NewDecoder(r.Body).Decode(&out))
	return out
}
