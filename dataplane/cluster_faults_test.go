package dataplane_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/test/conformance/proc"
)

func TestMixedMesh(t *testing.T) {
	for _, pool := range []int{-1, 3} {
		t.Run(fmt.Sprintf("seed ours, pool %d", pool), func(t *testing.T) {
			seed := covey(t, pool)
			all := []member{seed, stock(t, pool, seed), covey(t, pool, seed), stock(t, pool, seed)}
			meshed(t, all...)
			carries(t, all[1], all[2])
			carries(t, all[2], all[3])
		})
		t.Run(fmt.Sprintf("seed stock, pool %d", pool), func(t *testing.T) {
			seed := stock(t, pool)
			all := []member{seed, covey(t, pool, seed), stock(t, pool, seed), covey(t, pool, seed)}
			meshed(t, all...)
			carries(t, all[1], all[2])
			carries(t, all[1], all[3])
		})
	}
}

func TestQueueGroupsAcrossRoutes(t *testing.T) {
	for name, make3 := range map[string]func(*testing.T) [3]member{
		"ours": func(t *testing.T) [3]member {
			a := covey(t, 3)
			return [3]member{a, covey(t, 3, a), covey(t, 3, a)}
		},
		"publisher ours": func(t *testing.T) [3]member {
			a := covey(t, 3)
			return [3]member{a, stock(t, 3, a), stock(t, 3, a)}
		},
		"publisher stock": func(t *testing.T) [3]member {
			a := stock(t, 3)
			return [3]member{a, covey(t, 3, a), covey(t, 3, a)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := make3(t)
			meshed(t, all[:]...)
			var got [3]atomic.Int64
			group := func(i, members int) {
				nc := dialURL(t, all[i])
				for range members {
					_, err := nc.QueueSubscribe("work", "g", func(*nats.Msg) { got[i].Add(1) })
					must(t, err)
				}
				_, err := nc.Subscribe(fmt.Sprintf("marker.%d", i), func(*nats.Msg) {})
				must(t, err)
				must(t, nc.Flush())
			}
			group(1, 3)
			group(2, 1)
			pub := dialURL(t, all[0])
			interested(t, pub, "marker.1")
			interested(t, pub, "marker.2")
			const n = 2000
			send := func() {
				for range n {
					must(t, pub.Publish("work", []byte("x")))
				}
				must(t, pub.Flush())
			}
			send()
			eventually(t, "all work", func() bool { return got[1].Load()+got[2].Load() >= n })
			if b, c := got[1].Load(), got[2].Load(); b+c != n || c < n/8 || c > n/2 {
				t.Errorf("three members got %d, one got %d, of %d", b, c, n)
			}
			group(0, 1)
			before := got[1].Load() + got[2].Load()
			send()
			_, stockPublisher := all[0].(stockServer) // nats-server spreads over its cluster
			eventually(t, "all work", func() bool { return got[0].Load()+got[1].Load()+got[2].Load() == 2*n })
			if after := got[1].Load() + got[2].Load(); after != before && !stockPublisher {
				t.Errorf("%d messages left although there was a local member", after-before)
			}
		})
	}
}

// coveyOn is covey on a given route address and with two accounts.
func coveyOn(t *testing.T, addr string, pool int, seeds ...string) *running {
	t.Helper()
	c := &dataplane.Cluster{Name: "east", Listen: addr, PoolSize: pool, User: "r", Password: "routes-secret"}
	for _, s := range seeds {
		u, err := dataplane.ParseRouteURL("nats-route://r:routes-secret@" + s)
		must(t, err)
		c.Routes = append(c.Routes, u)
	}
	return coveyConfig(t, dataplane.Config{Cluster: c, Access: &auth.Access{
		Users: []auth.User{
			{Name: "a", Password: "a", Account: "A"},
			{Name: "b", Password: "b", Account: "B"},
		}, HasUsers: true,
		Accounts: []auth.Account{{Name: "A", Limits: auth.Unlimited()}, {Name: "B", Limits: auth.Unlimited()}},
		System:   auth.SystemAccount,
	}})
}

// freeAddrs returns addresses that nobody else takes.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		addr, err := proc.FreeAddr()
		must(t, err)
		out = append(out, addr)
	}
	return out
}

// A schedule of three brokers that know each other, of clients of two accounts
// that come, subscribe, publish and go, and of brokers that die and return. Every
// subscriber checks what it gets while that goes on; when it has settled, every
// one of them must be reached, once.
func TestRandomSchedules(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := &schedule{t: t, rng: rand.New(rand.NewPCG(seed, 7)), addrs: freeAddrs(t, 3), pool: []int{-1, 3}[seed%2]}
			for i := range s.brokers {
				s.begin(i)
			}
			s.settle()
			for range 4 {
				for range 60 {
					s.step()
				}
				if s.rng.IntN(2) == 0 {
					i := s.rng.IntN(len(s.brokers))
					s.kill(i)
					for range 20 {
						s.step()
					}
					s.begin(i)
				}
				s.settle()
				s.roundOfAll()
			}
		})
	}
}

type schedule struct {
	t       *testing.T
	rng     *rand.Rand
	addrs   []string
	pool    int
	brokers [3]*running
	clients []*checked
	serial  int
	round   int
}

// checked is a client that looks at everything it gets.
type checked struct {
	nc      *nats.Conn
	name    string
	account string
	broker  int
	seq     int
	subs    []*checkedSub
}

type checkedSub struct {
	sub            *nats.Subscription
	subject, queue string

	mu    sync.Mutex
	last  map[string]int // by publisher; guarded by mu
	final map[string]int // how often each publisher's message of a round came; guarded by mu
}

func (s *schedule) begin(i int) {
	seeds := append(append([]string{}, s.addrs[:i]...), s.addrs[i+1:]...)
	s.brokers[i] = coveyOn(s.t, s.addrs[i], s.pool, seeds...)
}

func (s *schedule) kill(i int) {
	var left []*checked
	for _, c := range s.clients {
		if c.broker == i {
			c.nc.Close()
			continue
		}
		left = append(left, c)
	}
	s.clients = left
	s.brokers[i].stop()
	s.brokers[i] = nil
}

func (s *schedule) connect(i int, acct string) *nats.Conn {
	nc, err := natsConnect(s.brokers[i].ClientURL(), nats.UserInfo(acct, acct), nats.NoReconnect(), nats.IgnoreDiscoveredServers())
	must(s.t, err)
	s.t.Cleanup(nc.Close)
	return nc
}

func (s *schedule) step() {
	switch k := s.rng.IntN(10); {
	case k == 0 && len(s.clients) < 12 || len(s.clients) == 0:
		i := s.rng.IntN(len(s.brokers))
		if s.brokers[i] == nil {
			return
		}
		s.serial++
		c := &checked{name: fmt.Sprint("c", s.serial), account: []string{"a", "b"}[s.rng.IntN(2)], broker: i}
		c.nc = s.connect(i, c.account)
		s.clients = append(s.clients, c)
	case k == 1 && len(s.clients) > 4:
		i := s.rng.IntN(len(s.clients))
		s.clients[i].nc.Close()
		s.clients = append(s.clients[:i], s.clients[i+1:]...)
	case k < 5:
		s.subscribe(s.clients[s.rng.IntN(len(s.clients))])
	case k == 5:
		c := s.clients[s.rng.IntN(len(s.clients))]
		if len(c.subs) > 0 {
			must(s.t, c.subs[0].sub.Unsubscribe())
			c.subs = c.subs[1:]
		}
	default:
		c := s.clients[s.rng.IntN(len(s.clients))]
		for range 1 + s.rng.IntN(20) {
			c.seq++
			s.publish(c, "run", c.seq)
		}
	}
}

func (s *schedule) publish(c *checked, what string, seq int) {
	payload := fmt.Sprintf("%s %s %s %d %s", what, c.account, c.name, seq, strings.Repeat("x", s.rng.IntN(3000)))
	must(s.t, c.nc.Publish("t.x", []byte(payload)))
}

func (s *schedule) subscribe(c *checked) {
	cs := &checkedSub{
		subject: []string{"t.x", "t.*", "t.>", "*.x"}[s.rng.IntN(4)], queue: []string{"", "", "q"}[s.rng.IntN(3)],
		last: make(map[string]int), final: make(map[string]int),
	}
	handler := func(m *nats.Msg) { cs.check(s.t, c, m) }
	var err error
	if cs.queue == "" {
		cs.sub, err = c.nc.Subscribe(cs.subject, handler)
	} else {
		cs.sub, err = c.nc.QueueSubscribe(cs.subject, cs.queue, handler)
	}
	must(s.t, err)
	c.subs = append(c.subs, cs)
}

func (cs *checkedSub) check(t *testing.T, c *checked, m *nats.Msg) {
	var what, acct, from string
	var seq int
	if _, err := fmt.Sscan(string(m.Data), &what, &acct, &from, &seq); err != nil {
		t.Errorf("unreadable message %.40q", m.Data)
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if acct != c.account {
		t.Errorf("%s of account %s got a message of account %s", c.name, c.account, acct)
	}
	if what != "run" {
		cs.final[fmt.Sprint(what, " ", from)]++
		return
	}
	if last := cs.last[from]; seq <= last {
		t.Errorf("%s got %d of %s after %d", c.name, seq, from, last)
	}
	cs.last[from] = seq
}

// settle waits until each broker hears each other one, in both accounts, and all
// that was sent before has arrived.
func (s *schedule) settle() {
	for _, c := range s.clients {
		must(s.t, c.nc.Flush())
	}
	for _, acct := range []string{"a", "b"} {
		for i := range s.brokers {
			far := s.connect(i, acct)
			s.serial++
			subj := fmt.Sprintf("settled.%d", s.serial)
			_, err := far.Subscribe(subj, func(*nats.Msg) {})
			must(s.t, err)
			must(s.t, far.Flush())
			for j := range s.brokers {
				near := s.connect(j, acct)
				interested(s.t, near, subj)
				near.Close()
			}
			far.Close()
		}
	}
}

// roundOfAll lets every client publish once, and looks who got it.
func (s *schedule) roundOfAll() {
	s.round++
	what := fmt.Sprint("round", s.round)
	for _, c := range s.clients {
		s.publish(c, what, 0)
		must(s.t, c.nc.Flush())
	}
	for _, from := range s.clients {
		key := what + " " + from.name
		eventually(s.t, "everybody has "+key, func() bool { return s.lacks(from, key) == "" })
	}
	s.settle() // what should not come has had its chance
	for _, from := range s.clients {
		if lack := s.lacks(from, what+" "+from.name); lack != "" {
			s.t.Error(lack)
		}
	}
}

// lacks says what is wrong with who got a message, if anything is.
func (s *schedule) lacks(from *checked, key string) string {
	groups, inGroup := 0, false
	for _, c := range s.clients {
		for _, cs := range c.subs {
			cs.mu.Lock()
			n := cs.final[key]
			cs.mu.Unlock()
			switch {
			case c.account != from.account && n > 0:
				return fmt.Sprintf("%s crossed accounts to %s", key, c.name)
			case c.account != from.account:
			case cs.queue != "":
				inGroup = true
				groups += n
			case n != 1:
				return fmt.Sprintf("%s came %d times to %s on %s", key, n, c.name, cs.subject)
			}
		}
	}
	if inGroup && groups != 1 {
		return fmt.Sprintf("%s came %d times to the group", key, groups)
	}
	return ""
}

func TestInterestEndsWithItsBroker(t *testing.T) {
	a := covey(t, 3)
	b := covey(t, 3, a)
	nc := dialURL(t, a)
	far, err := natsConnect(b.ClientURL())
	must(t, err)
	_, err = far.Subscribe("there", func(*nats.Msg) {})
	must(t, err)
	interested(t, nc, "there")
	far.Close()
	gone := func() bool {
		_, err := nc.Request("there", nil, 20*time.Millisecond)
		return errors.Is(err, nats.ErrNoResponders)
	}
	eventually(t, "nobody is interested", gone)
	far, err = natsConnect(b.ClientURL(), nats.NoReconnect())
	must(t, err)
	defer far.Close()
	_, err = far.Subscribe("there", func(*nats.Msg) {})
	must(t, err)
	interested(t, nc, "there")
	b.stop()
	eventually(t, "nobody is interested", gone)
	eventually(t, "clients forget the broker", func() bool { return len(nc.DiscoveredServers()) == 0 })
}

func TestClusterNamesAreAdopted(t *testing.T) {
	named := func(name string, seeds ...member) *running {
		c := &dataplane.Cluster{Name: name, Listen: "127.0.0.1:0"}
		for _, s := range seeds {
			u, err := dataplane.ParseRouteURL(s.RouteURL())
			must(t, err)
			c.Routes = append(c.Routes, u)
		}
		return coveyConfig(t, dataplane.Config{Cluster: c})
	}
	t.Run("ours takes the configured name", func(t *testing.T) {
		a := stock(t, 3)
		meshed(t, a, named("", a))
	})
	t.Run("made-up names settle", func(t *testing.T) {
		a := named("")
		b := named("", a)
		meshed(t, a, b, named("", b))
	})
	t.Run("configured names do not mix", func(t *testing.T) {
		a := named("east")
		b := named("west", a)
		eventually(t, "a refusal", func() bool { return b.log.says("cluster of another name") })
		if n := len(routez(t, a).Routes) + len(routez(t, b).Routes); n != 0 {
			t.Errorf("%d routes between clusters of two names", n)
		}
	})
}

// converseAsRoute sends lines to a route port and returns all that comes back after the
// INFO, until the connection is closed.
func converseAsRoute(t *testing.T, m member, lines string) string {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(m.RouteURL(), "nats-route://"))
	must(t, err)
	defer nc.Close()
	must(t, nc.SetDeadline(time.Now().Add(time.Minute)))
	r := bufio.NewReader(nc)
	if info, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(info, "INFO {") {
		t.Fatalf("greeting %q, %v", info, err)
	}
	_, err = nc.Write([]byte(lines))
	must(t, err)
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return all.String()
		}
		if !strings.HasPrefix(line, "PING") && !strings.HasPrefix(line, "INFO") && !strings.HasPrefix(line, "RS+") {
			all.WriteString(line)
		}
	}
}

func TestRouteRefusals(t *testing.T) {
	b := coveyOn(t, "127.0.0.1:0", 3)
	const connect = `CONNECT {"user":"r","pass":"routes-secret","name":"X","cluster":"east","headers":true}` + "\r\n"
	info := func(more string) string {
		return connect + `INFO {"server_id":"X","server_name":"x","cluster":"east","headers":true,"proto":1` + more + "}\r\n"
	}
	for name, c := range map[string]struct{ send, want string }{
		"a client":              {`CONNECT {"lang":"go","verbose":false}` + "\r\n", "-ERR 'attempted to connect to route port'\r\n"},
		"wrong password":        {`CONNECT {"user":"r","pass":"x","name":"X","cluster":"east"}` + "\r\n", "-ERR 'Authorization Violation'\r\n"},
		"no CONNECT":            {`INFO {"server_id":"X"}` + "\r\n", "-ERR 'Authorization Violation'\r\n"},
		"no INFO":               {connect + "RS+ $G foo\r\n", "-ERR 'Authorization Violation'\r\n"},
		"another cluster":       {`CONNECT {"user":"r","pass":"routes-secret","name":"X","cluster":"west"}` + "\r\n", ""},
		"impossible index":      {info(`,"route_pool_size":3,"route_pool_idx":3`), "-ERR 'Invalid route pool index'\r\n"},
		"unknown account":       {info(`,"route_pool_size":3,"route_account":"Z"`), "-ERR 'No route for account \"Z\"'\r\n"},
		"dedicated, no pool":    {info(`,"route_account":"$SYS"`), "-ERR 'Not possible to have a dedicated route for account between those servers'\r\n"},
		"account at run time":   {info("") + `INFO {"server_id":"X","route_account":"A","route_acc_add_reqid":"1"}` + "\r\n", "-ERR 'dedicated routes cannot be added at run time'\r\n"},
		"leaf interest":         {info("") + "LS+ west A foo\r\n", "-ERR 'leaf node interest is not supported'\r\n"},
		"a client's operation":  {info("") + "SUB foo 1\r\n", "-ERR 'Unknown Protocol Operation'\r\n"},
		"queue without weight":  {info("") + "RS+ A foo q\r\n", "-ERR 'Protocol Violation'\r\n"},
		"invalid subject":       {info("") + "RS+ A foo..bar\r\n", "-ERR 'Protocol Violation'\r\n"},
		"impossible size":       {info("") + "RMSG A foo x\r\n", "-ERR 'Protocol Violation'\r\n"},
		"TLS":                   {info(`,"tls_required":true`), ""},
		"an error of the other": {info("") + "-ERR 'x'\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := converseAsRoute(t, b, c.send); got != c.want {
				t.Errorf("answer %q, want %q", got, c.want)
			}
		})
	}
	eventually(t, "no route is left", func() bool { return len(routez(t, b).Routes) == 0 })
}

func TestRouteToItselfIsDropped(t *testing.T) {
	addr := freeAddrs(t, 1)[0]
	b := coveyOn(t, addr, 3, addr)
	eventually(t, "it notices", func() bool { return b.log.says("leads to this broker itself") })
	eventually(t, "no route to itself", func() bool { return len(routez(t, b).Routes) == 0 })
}
