package system_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// events is what the system account heard, by subject.
type events struct {
	mu  sync.Mutex
	all map[string][]string // guarded by mu
}

// listen collects all events, with ID for the server's id.
func (s *subject) listen(t *testing.T) (e *events, sys *nats.Conn) {
	t.Helper()
	e = &events{all: make(map[string][]string)}
	sys = s.as(t, "sys")
	for _, subj := range []string{"$SYS.ACCOUNT.>", "$SYS.SERVER.>"} {
		_, err := sys.Subscribe(subj, func(m *nats.Msg) {
			e.mu.Lock()
			defer e.mu.Unlock()
			name := strings.ReplaceAll(m.Subject, s.id, "ID")
			e.all[name] = append(e.all[name], string(m.Data))
		})
		must(t, err)
	}
	must(t, sys.Flush())
	return e, sys
}

// await returns the first event of a subject that ok accepts.
func (e *events) await(t *testing.T, subj string, ok func(text string) bool) string {
	t.Helper()
	var found string
	eventually(t, subj, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		i := slices.IndexFunc(e.all[subj], ok)
		if i >= 0 {
			found = e.all[subj][i]
		}
		return i >= 0
	})
	return found
}

// subjects returns those of all events but the ones of the listener itself, who
// may come too late for them.
func (e *events) subjects() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := slices.Sorted(maps.Keys(e.all))
	return slices.DeleteFunc(all, func(subj string) bool { return strings.Contains(subj, ".SYS.") })
}

func anything(string) bool { return true }

// containing accepts texts with all of the given parts.
func containing(parts ...string) func(string) bool {
	return func(text string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
	}
}

// live lets things happen that there are events of, and returns those.
func (s *subject) live(t *testing.T, leave func(bool)) (map[string]string, []string) {
	t.Helper()
	e, sys := s.listen(t)
	app := s.as(t, "app", nats.Name("tenant"))
	found := map[string]string{
		"connected":     e.await(t, "$SYS.ACCOUNT.APP.CONNECT", containing(`"name":"tenant"`)),
		"connections":   e.await(t, "$SYS.ACCOUNT.APP.SERVER.CONNS", containing(`"conns":1`)),
		"oldSubject":    e.await(t, "$SYS.SERVER.ACCOUNT.APP.CONNS", containing(`"conns":1`)),
		"figures":       e.await(t, "$SYS.SERVER.ID.STATSZ", containing(`"active_accounts":2`)),
		"noConnections": "",
	}
	must(t, app.Publish("foo", []byte("hello")))
	must(t, app.Flush())
	app.Close()
	found["disconnected"] = e.await(t, "$SYS.ACCOUNT.APP.DISCONNECT", containing(`"name":"tenant"`))
	found["noConnections"] = e.await(t, "$SYS.ACCOUNT.APP.SERVER.CONNS", containing(`"conns":0`))
	if _, err := natsConnect(s.url, nats.UserInfo("app", "wrong"), nats.Name("stranger")); err == nil {
		t.Errorf("%s lets a stranger in", s.name)
	}
	found["refused"] = e.await(t, "$SYS.SERVER.ID.CLIENT.AUTH.ERR", anything)
	found["strangerLeft"] = e.await(t, "$SYS.ACCOUNT.$G.DISCONNECT", anything)
	must(t, sys.Publish("$SYS.REQ.SERVER.PING", nil))
	// The goodbye is heard before the connection ends.
	leave(false)
	eventually(t, "the end of the connection", func() bool { return !sys.IsConnected() })
	found["shutdown"] = e.await(t, "$SYS.SERVER.ID.SHUTDOWN", anything)
	return found, e.subjects()
}

func TestEventsAreLikeNatsServers(t *testing.T) {
	theirs, leave := stoppableStock(t, basic)
	want, theirSubjects := theirs.live(t, leave)
	our, stop := stoppable(t, basic)
	got, ourSubjects := our.live(t, stop)
	if !slices.Equal(theirSubjects, ourSubjects) {
		t.Errorf("nats-server published %q, we %q", theirSubjects, ourSubjects)
	}
	for name := range want {
		compare(t, name, want[name], got[name])
	}
	var left server.DisconnectEventMsg
	must(t, json.Unmarshal([]byte(got["disconnected"]), &left))
	c := left.Client
	if left.Type != server.DisconnectEventMsgType || left.Reason != "Client Closed" || left.Sent.Msgs != 1 || left.Sent.Bytes != 5 || left.Received.Msgs != 0 ||
		c.Account != "APP" || c.User != "app" || c.Host != "127.0.0.1" || c.Kind != "Client" || c.ClientType != "nats" || c.Stop.Before(*c.Start) {
		t.Errorf("the end of a connection is told as %s", got["disconnected"])
	}
	for _, name := range []string{"refused", "strangerLeft"} {
		var w, g server.DisconnectEventMsg
		must(t, json.Unmarshal([]byte(want[name]), &w))
		must(t, json.Unmarshal([]byte(got[name]), &g))
		if g.Reason != w.Reason || g.Client.Account != w.Client.Account || g.Client.User != w.Client.User || g.Client.Name != w.Client.Name || g.Client.NameTag != w.Client.NameTag {
			t.Errorf("%s is told as %s, in nats-server %s", name, got[name], want[name])
		}
	}
}

func TestLameDuckEventIsLikeNatsServers(t *testing.T) {
	var all []string
	for _, start := range []func(*testing.T, string) (*subject, func(bool)){stoppableStock, func(t *testing.T, text string) (*subject, func(bool)) { return stoppable(t, text) }} {
		s, leave := start(t, basic)
		e, sys := s.listen(t)
		leave(true)
		eventually(t, "the end of the connection", func() bool { return !sys.IsConnected() })
		all = append(all, e.await(t, "$SYS.SERVER.ID.LAMEDUCK", anything))
	}
	compare(t, "lame duck", all[0], all[1])
}

// Figures come at once when somebody asks for the event, and often at first.
func TestFiguresAtOnce(t *testing.T) {
	s := ours(t, basic)
	e, sys := s.listen(t)
	e.await(t, "$SYS.SERVER.ID.STATSZ", anything)
	start := time.Now()
	for n := range 3 {
		must(t, sys.Publish("$SYS.REQ.SERVER.PING", nil))
		e.await(t, "$SYS.SERVER.ID.STATSZ", func(string) bool { return len(e.all["$SYS.SERVER.ID.STATSZ"]) > n+1 })
	}
	t.Logf("three in %v", time.Since(start))
}

// Changes of an account's connections in quick succession are told together, and
// the last state is told.
func TestConnectionsAreToldTogether(t *testing.T) {
	s := ours(t, basic)
	e, _ := s.listen(t)
	const n = 50
	var all []*nats.Conn
	for range n {
		all = append(all, s.as(t, "app"))
	}
	e.await(t, "$SYS.ACCOUNT.APP.SERVER.CONNS", containing(`"conns":50`))
	for _, nc := range all {
		nc.Close()
	}
	e.await(t, "$SYS.ACCOUNT.APP.SERVER.CONNS", containing(`"conns":0`))
	e.mu.Lock()
	defer e.mu.Unlock()
	if told := len(e.all["$SYS.ACCOUNT.APP.SERVER.CONNS"]); told > n {
		t.Errorf("%d changes are told in %d events", 2*n, told)
	}
	if told := len(e.all["$SYS.ACCOUNT.APP.CONNECT"]); told != n {
		t.Errorf("%d connects are told in %d events", n, told)
	}
}

// An account whose users are refused hears of that where it is known which.
func TestAccountsHearOfRefusals(t *testing.T) {
	const text = `
authorization { users: [{user: guest, password: guest}] }
accounts { SYS { users: [{user: sys, password: sys}] } }
system_account: SYS
`
	for _, start := range []func(*testing.T, string) *subject{stock, func(t *testing.T, text string) *subject { return ours(t, text) }} {
		s := start(t, text)
		guest := s.as(t, "guest")
		sub, err := guest.SubscribeSync("$SYS.ACCOUNT.CLIENT.AUTH.ERR")
		must(t, err)
		must(t, guest.Flush())
		if _, err := natsConnect(s.url, nats.UserInfo("guest", "wrong")); err == nil {
			t.Errorf("%s lets a stranger in", s.name)
		}
		m, err := sub.NextMsg(patience)
		must(t, err)
		var e server.DisconnectEventMsg
		must(t, json.Unmarshal(m.Data, &e))
		if e.Reason != "Authentication Failure" || e.Client.Account != "$G" || e.Client.User != "guest" {
			t.Errorf("%s says %s", s.name, m.Data)
		}
	}
}
