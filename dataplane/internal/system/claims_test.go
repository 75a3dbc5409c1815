package system_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// realm is an operator with a system account and its user.
type realm struct {
	*operatortest.Operator
	system *operatortest.Account
	admin  *operatortest.User
}

func newRealm(t *testing.T) *realm {
	t.Helper()
	r := &realm{Operator: operatortest.New(t)}
	r.system = r.Account("SYS")
	r.admin = r.system.User("admin", nil)
	return r
}

// conf is a configuration with a resolver, whose directory is dir.
func (r *realm) conf(kind, dir, more string) string {
	block := "MEMORY"
	if kind != "MEMORY" {
		block = fmt.Sprintf("{type: %s, dir: %q, %s}", kind, dir, more)
	}
	return fmt.Sprintf("operator: %s\nresolver: %s\nresolver_preload { %s: %s }\n", r.WithSystem(r.system.Key), block, r.system.Key, r.system.Token())
}

// by connects as a user with a JWT.
func (s *subject) by(u *operatortest.User, opts ...nats.Option) (*nats.Conn, error) {
	return natsConnect(s.url, append(opts, nats.UserJWTAndSeed(u.Token, u.Seed()))...)
}

func (s *subject) admin(t *testing.T, r *realm) *nats.Conn {
	t.Helper()
	nc, err := s.by(r.admin)
	must(t, err)
	t.Cleanup(nc.Close)
	s.id = nc.ConnectedServerId()
	return nc
}

// both are the two servers under test with the same kind of resolver.
func (r *realm) both(t *testing.T, kind, more string) (servers [2]*subject, dirs [2]string) {
	t.Helper()
	dirs = [2]string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	return [2]*subject{stock(t, r.conf(kind, dirs[0], more)), ours(t, r.conf(kind, dirs[1], more))}, dirs
}

// Claims are pushed, looked up, listed and deleted as with nats-server.
func TestClaimsLikeNatsServers(t *testing.T) {
	for _, c := range []struct{ kind, more string }{
		{"full", "allow_delete: true"}, {"full", "allow_delete: true, hard_delete: true"}, {"full", ""}, {"cache", ""}, {"MEMORY", ""},
	} {
		t.Run(c.kind+" "+c.more, func(t *testing.T) {
			r := newRealm(t)
			a, b := r.Account("a"), r.Account("b")
			user := a.User("u", nil)
			servers, _ := r.both(t, c.kind, c.more)
			var nc [2]*nats.Conn
			for i, s := range servers {
				nc[i] = s.admin(t, r)
			}
			first, other := a.Token(), b.Token()
			a.Claims.Limits.Conn = 7
			second := a.Token()
			a.Claims.Limits.Imports = -2
			named := func(key string) string { return "$SYS.REQ.ACCOUNT." + key + ".CLAIMS." }
			for _, q := range []struct{ subject, body string }{
				{"$SYS.REQ.CLAIMS.LIST", ""},
				{named(a.Key) + "LOOKUP", ""},
				{"$SYS.REQ.CLAIMS.UPDATE", first},
				{"$SYS.REQ.CLAIMS.UPDATE", first},
				{"$SYS.REQ.CLAIMS.UPDATE", "nonsense"},
				{"$SYS.REQ.CLAIMS.UPDATE", ""},
				{"$SYS.REQ.CLAIMS.UPDATE", user.Token},
				{named(a.Key) + "UPDATE", second},
				{"$SYS.ACCOUNT." + b.Key + ".CLAIMS.UPDATE", other},
				{named(a.Key) + "UPDATE", other},
				{named(a.Key) + "LOOKUP", ""},
				{"$SYS.REQ.CLAIMS.LIST", ""},
				{"$SYS.REQ.CLAIMS.DELETE", "nonsense"},
				{"$SYS.REQ.CLAIMS.DELETE", r.Deletion("nonsense")},
				{"$SYS.REQ.CLAIMS.DELETE", r.Deletion(r.system.Key)},
				{"$SYS.REQ.CLAIMS.DELETE", operatortest.New(t).Deletion(a.Key)},
				{"$SYS.REQ.CLAIMS.DELETE", r.Deletion(a.Key, a.Key)},
				{"$SYS.REQ.CLAIMS.LIST", ""},
				{named(a.Key) + "LOOKUP", ""},
			} {
				want, got := ask(t, nc[0], q.subject, q.body), ask(t, nc[1], q.subject, q.body)
				if w, g := said(want), said(got); w != g {
					t.Errorf("%s %.40s is answered %s, by nats-server %s", q.subject, q.body, g, w)
				}
			}
		})
	}
}

// said is what an answer says, without who says it.
func said(text string) string {
	var v map[string]any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	delete(v, "server")
	b, _ := json.Marshal(v)
	return string(b)
}

// Claims that are pushed are in force at once, and when an account is deleted its
// clients go.
func TestPushedClaimsAreInForce(t *testing.T) {
	r := newRealm(t)
	a := r.Account("a")
	user := a.User("u", nil)
	servers, dirs := r.both(t, "full", "allow_delete: true")
	for i, s := range servers {
		a.Claims.Limits.Conn = -1
		if _, err := s.by(user); err == nil {
			t.Errorf("%s knows an account before it is pushed", s.name)
		}
		admin := s.admin(t, r)
		push := func() {
			t.Helper()
			if got := ask(t, admin, "$SYS.REQ.CLAIMS.UPDATE", a.Token()); !strings.Contains(got, "jwt updated") {
				t.Errorf("%s: %s", s.name, got)
			}
		}
		push()
		one, err := s.by(user, nats.NoReconnect())
		must(t, err)
		two, err := s.by(user, nats.NoReconnect())
		must(t, err)
		a.Claims.Limits.Conn = 1
		push()
		eventually(t, "one of them goes", func() bool { return one.IsClosed() != two.IsClosed() })
		if got := ask(t, admin, "$SYS.REQ.CLAIMS.DELETE", r.Deletion(a.Key)); !strings.Contains(got, "deleted 1 accounts") {
			t.Errorf("%s: %s", s.name, got)
		}
		eventually(t, "the other goes", func() bool { return one.IsClosed() && two.IsClosed() })
		if _, err := s.by(user); err == nil {
			t.Errorf("%s knows an account after it was deleted", s.name)
		}
		if _, err := os.Stat(filepath.Join(dirs[i], a.Key+".jwt.deleted")); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

// What no operator signed is refused, unlike by nats-server, which keeps it and
// finds out later.
func TestForeignClaimsAreRefused(t *testing.T) {
	r := newRealm(t)
	s := ours(t, r.conf("full", filepath.Join(t.TempDir(), "a"), ""))
	admin := s.admin(t, r)
	foreign, own := operatortest.New(t).Account("x"), r.Account("y")
	for what, token := range map[string]string{"another operator": foreign.Token(), "the account itself": own.TokenBySelf()} {
		if got := ask(t, admin, "$SYS.REQ.CLAIMS.UPDATE", token); !strings.Contains(got, "not signed by a trusted operator key") {
			t.Errorf("claims signed by %s: %s", what, got)
		}
	}
	if got := ask(t, admin, "$SYS.REQ.CLAIMS.LIST", ""); strings.Contains(got, foreign.Key) || strings.Contains(got, own.Key) {
		t.Errorf("kept: %s", got)
	}
	// Who is not in the system account cannot even ask.
	if got := ask(t, admin, "$SYS.REQ.CLAIMS.UPDATE", own.Token()); !strings.Contains(got, "jwt updated") {
		t.Error(got)
	}
	nc, err := s.by(own.User("u", nil))
	must(t, err)
	t.Cleanup(nc.Close)
	for _, subj := range []string{"$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.ACCOUNT." + own.Key + ".CLAIMS.LOOKUP"} {
		if got := ask(t, nc, subj, own.Token()); got != nats.ErrNoResponders.Error() {
			t.Errorf("a tenant asking %s is answered %s", subj, got)
		}
	}
}

// clustered are brokers in one cluster; kinds are of their resolvers.
func (r *realm) clustered(t *testing.T, makers ...func(conf string, routes []string) *subject) []*subject {
	t.Helper()
	var all []*subject
	var routes []string
	for i, start := range makers {
		kind := "full"
		more := `interval: "300ms", timeout: "10s", allow_delete: true`
		if i == len(makers)-1 {
			kind, more = "cache", `timeout: "10s"`
		}
		s := start(r.conf(kind, filepath.Join(t.TempDir(), "jwt"), more), routes)
		all = append(all, s)
		routes = append(routes, s.route)
	}
	return all
}

func (r *realm) starters(t *testing.T) (ourOwn, stocks func(conf string, routes []string) *subject) {
	n := 0
	ourOwn = func(conf string, routes []string) *subject {
		n++
		return ours(t, fmt.Sprintf("server_name: n%d\n", n)+conf, append([]string{}, routes...)...)
	}
	stocks = func(conf string, routes []string) *subject {
		n++
		quoted := strings.Join(routes, ", ")
		return stock(t, fmt.Sprintf("server_name: n%d\ncluster { name: east, listen: \"127.0.0.1:-1\", routes: [%s] }\n", n, quoted)+conf)
	}
	return ourOwn, stocks
}

// Brokers tell each other of accounts: a push reaches all of them, who comes late
// catches up, and a cache asks those that hold all accounts, whoever of them is
// nats-server.
func TestBrokersShareClaims(t *testing.T) {
	for _, c := range []struct {
		name  string
		stock []int // which of the three are nats-server's
	}{
		{"ours alone", nil}, {"with a nats-server first", []int{0}}, {"with a nats-server second", []int{1}}, {"with a cache of nats-server's", []int{2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRealm(t)
			ourOwn, stocks := r.starters(t)
			makers := []func(string, []string) *subject{ourOwn, ourOwn, ourOwn}
			for _, i := range c.stock {
				makers[i] = stocks
			}
			early, late := r.Account("early"), r.Account("late")
			var all []*subject
			var admin *nats.Conn
			first := func(conf string, routes []string) *subject {
				s := makers[0](conf, routes)
				admin = s.admin(t, r)
				if got := ask(t, admin, "$SYS.REQ.CLAIMS.UPDATE", early.Token()); !strings.Contains(got, "jwt updated") {
					t.Error(got)
				}
				return s
			}
			all = r.clustered(t, first, makers[1], makers[2])
			eventually(t, "all are connected", func() bool {
				return strings.Contains(ask(t, admin, "$SYS.REQ.SERVER."+all[0].id+".VARZ", ""), `"remotes":2`)
			})
			for _, s := range all[1:] {
				eventually(t, s.name+" knows what was pushed before it came", func() bool { return knows(s, early) })
			}
			if got := ask(t, admin, "$SYS.REQ.CLAIMS.UPDATE", late.Token()); strings.Contains(got, "error") {
				t.Error(got)
			}
			for i, s := range all {
				eventually(t, fmt.Sprintf("broker %d knows what was pushed to all", i), func() bool { return knows(s, late) })
			}
		})
	}
}

func knows(s *subject, a *operatortest.Account) bool {
	nc, err := s.by(a.User("u", nil))
	if err == nil {
		nc.Close()
	}
	return err == nil
}

// A tenant's question goes to all brokers of a cluster, and each tells of its
// account only.
func TestTenantsAskAllBrokers(t *testing.T) {
	for _, withStock := range []bool{false, true} {
		r := newRealm(t)
		ourOwn, stocks := r.starters(t)
		second := ourOwn
		if withStock {
			second = stocks
		}
		acct := r.Account("a")
		dirs := filepath.Join(t.TempDir(), "jwt")
		conf := r.conf("MEMORY", dirs, "")
		conf = strings.Replace(conf, "resolver_preload {", "resolver_preload { "+acct.Key+": "+acct.Token()+",", 1)
		one := ourOwn(conf, nil)
		two := second(conf, []string{one.route})
		here, err := one.by(acct.User("u", nil), nats.Name("here"))
		must(t, err)
		t.Cleanup(here.Close)
		there, err := two.by(acct.User("v", nil), nats.Name("there"))
		must(t, err)
		t.Cleanup(there.Close)
		for _, subj := range []string{"$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.STATZ"} {
			eventually(t, subj+" is answered by both", func() bool {
				inbox := here.NewInbox()
				sub, err := here.SubscribeSync(inbox)
				must(t, err)
				defer func() { must(t, sub.Unsubscribe()) }()
				must(t, here.PublishRequest(subj, inbox, []byte(`{"auth":true}`)))
				ids := make(map[string]bool)
				for len(ids) < 2 {
					m, err := sub.NextMsg(time.Second)
					if err != nil {
						return false
					}
					var a struct{ Server server.ServerInfo }
					must(t, json.Unmarshal(m.Data, &a))
					ids[a.Server.ID] = true
					if strings.Contains(string(m.Data), r.system.Key) || !strings.Contains(string(m.Data), acct.Key) {
						t.Errorf("%s: %s", subj, m.Data)
					}
				}
				return true
			})
		}
	}
}
