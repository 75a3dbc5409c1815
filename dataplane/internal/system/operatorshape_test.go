package system_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// volatile are fields whose values differ from server to server, or by the clock.
var volatile = []string{
	"server", "id", "timestamp", "time", "start", "stop", "now", "uptime", "idle", "last_activity", "port", "update_time", "cid",
	"sublist_stats", "client_connections", "service", "system", "total", "sent", "received", "subscriptions", "num_subscriptions", "server_id", "in_msgs", "in_bytes", "out_msgs", "out_bytes", "expires",
	"pending_bytes", "total_conns",
	"weight", // sums in nats-server
}

// flat returns the values in a JSON text by their paths, but for those that are
// volatile: of these only that they are there.
func flat(t *testing.T, text string) map[string]string {
	t.Helper()
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return map[string]string{"": text}
	}
	out := make(map[string]string)
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, field := range v {
				if name == "rtt" {
					continue // whether it is known by now depends on the clock, too
				}
				if list, ok := field.([]any); ok && name == "imports" {
					// Those of the system account are nats-server's alone, and those that are not
					// in force it leaves out.
					field = slices.DeleteFunc(list, func(e any) bool {
						return strings.Contains(fmt.Sprint(e), "$SYS") || strings.Contains(fmt.Sprint(e), "nothing")
					})
				}
				if slices.Contains(volatile, name) {
					out[path+"."+name] = "there"
					continue
				}
				walk(path+"."+name, field)
			}
		case []any:
			if path != ".data.decoded_jwt.tags" { // those of what is shared have no order
				slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
			for i, e := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), e)
			}
		default:
			out[path] = fmt.Sprint(v)
		}
	}
	walk("", v)
	return out
}

// same reports values that one server tells and the other does not.
func same(t *testing.T, what, theirs, our string) {
	t.Helper()
	want, got := flat(t, theirs), flat(t, our)
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		left := strings.HasSuffix(path, ".jwt") && !strings.Contains(what, "account") && got[path] == "" || // a user's is not kept
			path == ".client.user" && want[path] == "" // who is refused says who it is
		if want[path] != got[path] && !left {
			t.Errorf("%s: %s is %q, in nats-server %q", what, path, got[path], want[path])
		}
	}
}

// town is an operator's accounts with all that claims can say.
type town struct {
	*realm
	a, b          *operatortest.Account
	user, scoped  *operatortest.User
	bearer, other *operatortest.User
	narrow        *operatortest.User
	tokens        []string // of the accounts' claims
}

func newTown(t *testing.T) *town {
	t.Helper()
	r := newRealm(t)
	w := &town{realm: r, a: r.Account("alpha"), b: r.Account("beta")}
	c := w.a.Claims
	c.Tags.Add("stage:prod", "team:x")
	c.Exports.Add(
		&jwt.Export{Name: "news", Subject: "news.>", Type: jwt.Stream},
		&jwt.Export{Name: "ask", Subject: "ask.*", Type: jwt.Service, ResponseType: jwt.ResponseTypeStream, TokenReq: true},
		&jwt.Export{Name: "timed", Subject: "timed", Type: jwt.Service, Latency: &jwt.ServiceLatency{Sampling: 100, Results: "latency"}},
	)
	c.Mappings = jwt.Mapping{"m.*": {{Subject: "n.$1", Weight: 30}, {Subject: "o.$1", Weight: 70}}}
	c.Limits.Conn, c.Limits.Subs, c.Limits.Payload = 100, 100, 1000
	role := w.a.Role("role", jwt.Permissions{Pub: jwt.Permission{Allow: jwt.StringList{"$SYS.REQ.>", "{{name()}}.>"}}, Sub: jwt.Permission{Allow: jwt.StringList{"_INBOX.>", "{{tag(team)}}.*"}}})
	w.user = w.a.User("joe", func(u *jwt.UserClaims) { u.Tags.Add("team:y", "colour:blue") })
	w.scoped = w.a.UserBy(role, "sue", func(u *jwt.UserClaims) { u.SetScoped(true); u.Tags.Add("team:y") })
	w.bearer = w.a.User("bea", func(u *jwt.UserClaims) { u.BearerToken = true; u.Expires = time.Now().Add(time.Hour).Unix() })
	w.narrow = w.a.User("ned", func(u *jwt.UserClaims) {
		u.Permissions = jwt.Permissions{
			Pub:  jwt.Permission{Deny: jwt.StringList{"deep.>"}},
			Sub:  jwt.Permission{Allow: jwt.StringList{"_INBOX.>", "q work"}, Deny: jwt.StringList{"q.no"}},
			Resp: &jwt.ResponsePermission{MaxMsgs: 3, Expires: time.Minute},
		}
	})
	act := jwt.NewActivationClaims(w.b.Key)
	act.ImportSubject, act.ImportType = "ask.*", jwt.Service
	w.b.Claims.Imports.Add(
		&jwt.Import{Name: "news", Subject: "news.>", Account: w.a.Key, Type: jwt.Stream, LocalSubject: "from.alpha.>"},
		&jwt.Import{Name: "ask", Subject: "ask.*", Account: w.a.Key, Type: jwt.Service, LocalSubject: "my.*", Token: w.a.Activation(act), Share: true},
		&jwt.Import{Name: "timed", Subject: "timed", Account: w.a.Key, Type: jwt.Service, Share: true},
		&jwt.Import{Name: "none", Subject: "nothing", Account: w.a.Key, Type: jwt.Service},
	)
	gone := w.b.User("gone", nil)
	w.b.Claims.RevokeAt(gone.Key, time.Unix(1700000000, 0))
	w.other = w.b.User("bob", nil)
	w.tokens = []string{w.a.Token(), w.b.Token()}
	return w
}

// start lets a server know the accounts.
func (w *town) start(t *testing.T, run func(*testing.T, string) *subject) (*subject, *nats.Conn) {
	t.Helper()
	s := run(t, "server_name: one\n"+w.conf("full", filepath.Join(t.TempDir(), "jwt"), ""))
	admin := s.admin(t, w.realm)
	for _, token := range w.tokens {
		if got := ask(t, admin, "$SYS.REQ.CLAIMS.UPDATE", token); !strings.Contains(got, "jwt updated") {
			t.Fatal(got)
		}
	}
	return s, admin
}

func (w *town) dial(t *testing.T, s *subject, u *operatortest.User) *nats.Conn {
	t.Helper()
	nc, err := s.by(u, nats.Name("client"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func runOurs(t *testing.T, text string) *subject { t.Helper(); return ours(t, text) }

// With an operator, what is told under $SYS has nats-server's fields and values.
func TestAnOperatorsAccountsAreToldOfLikeNatsServers(t *testing.T) {
	w := newTown(t)
	var told [2]map[string]string
	var names []string
	for i, run := range []func(*testing.T, string) *subject{stock, runOurs} {
		s, admin := w.start(t, run)
		told[i] = make(map[string]string)
		names = names[:0]
		say := func(name, text string) {
			names = append(names, name)
			told[i][name] = text
		}
		events, err := admin.SubscribeSync("$SYS.ACCOUNT.*.CONNECT")
		must(t, err)
		ends, err := admin.SubscribeSync("$SYS.ACCOUNT.*.DISCONNECT")
		must(t, err)
		refused, err := admin.SubscribeSync("$SYS.SERVER.*.CLIENT.AUTH.ERR")
		must(t, err)
		must(t, admin.Flush())
		next := func(sub *nats.Subscription) string {
			t.Helper()
			m, err := sub.NextMsg(patience)
			must(t, err)
			return string(m.Data)
		}
		var last *nats.Conn
		for _, who := range []struct {
			name string
			user *operatortest.User
		}{{"user", w.user}, {"scoped", w.scoped}, {"bearer", w.bearer}, {"narrow", w.narrow}, {"importer", w.other}} {
			name := who.name
			nc := w.dial(t, s, who.user)
			say("connect "+name, next(events))
			if name != "narrow" {
				say("info "+name, ask(t, nc, "$SYS.REQ.USER.INFO", ""))
				say("connz "+name, ask(t, nc, "$SYS.REQ.ACCOUNT.PING.CONNZ", `{"auth":true}`))
			}
			if last != nil {
				last.Close()
				say("gone before "+name, next(ends))
			}
			last = nc
			if name == "importer" {
				for _, a := range []*operatortest.Account{w.a, w.b} {
					say("account "+a.Claims.Name, ask(t, admin, "$SYS.REQ.ACCOUNT."+a.Key+".INFO", ""))
					say("accountz "+a.Claims.Name, ask(t, admin, "$SYS.REQ.SERVER.PING.ACCOUNTZ", `{"account":"`+a.Key+`"}`))
				}
				say("statz", ask(t, admin, "$SYS.REQ.ACCOUNT."+w.b.Key+".STATZ", ""))
				say("conns", ask(t, admin, "$SYS.REQ.ACCOUNT."+w.b.Key+".CONNS", ""))
			}
		}
		last.Close()
		next(ends)
		say("closed", ask(t, admin, "$SYS.REQ.SERVER.PING.CONNZ", `{"auth":true,"state":1,"user":"`+w.scoped.Key+`"}`))
		stranger := operatortest.New(t).Account("x").User("stranger", nil)
		if _, err := s.by(stranger, nats.Name("client")); err == nil {
			t.Errorf("%s lets a stranger in", s.name)
		}
		say("refused", next(refused))
		say("own account", ask(t, admin, "$SYS.REQ.USER.INFO", ""))
	}
	for _, name := range names {
		same(t, name, told[0][name], told[1][name])
	}
}

// Who asks a service, and who answers it, is told as by nats-server: who a user is for
// people is its name, not that of its account.
func TestAnOperatorsServicesAreToldOfLikeNatsServers(t *testing.T) {
	w := newTown(t)
	var told [2][]string
	for i, run := range []func(*testing.T, string) *subject{stock, runOurs} {
		s, _ := w.start(t, run)
		p, c := w.dial(t, s, w.user), w.dial(t, s, w.other)
		events, err := p.SubscribeSync("latency")
		must(t, err)
		for _, subj := range []string{"ask.*", "timed"} {
			_, err = p.Subscribe(subj, func(m *nats.Msg) { _ = m.Respond([]byte(m.Header.Get("Nats-Request-Info"))) })
			must(t, err)
		}
		must(t, p.Flush())
		for _, subj := range []string{"my.x", "timed"} {
			told[i] = append(told[i], ask(t, c, subj, ""))
		}
		m, err := events.NextMsg(patience)
		must(t, err)
		told[i] = append(told[i], string(m.Data))
	}
	for j, what := range []string{"who asks", "who asks what is measured", "latency"} {
		same(t, what, told[0][j], told[1][j])
	}
}
