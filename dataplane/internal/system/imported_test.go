package system_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// exporting is a configuration whose system account gives a tenant some of what it
// has, as many do for those who watch.
const exporting = `
server_name: %s
accounts {
	SYS {
		users: [{user: sys, password: sys}]
		exports: [
			{service: "$SYS.REQ.SERVER.PING.*", response: stream}
			{service: "$SYS.REQ.ACCOUNT.*.*", response: stream, account_token_position: 4}
			{stream: "$SYS.ACCOUNT.*.>", account_token_position: 3}
		]
	}
	APP {
		users: [{user: app, password: app}]
		imports: [
			{service: {account: SYS, subject: "$SYS.REQ.SERVER.PING.*"}, to: "ping.*"}
			{service: {account: SYS, subject: "$SYS.REQ.ACCOUNT.APP.*"}, to: "me.*"}
			{stream: {account: SYS, subject: "$SYS.ACCOUNT.APP.>"}}
		]
	}
}
system_account: SYS
`

// What the system account exports is answered by the broker, wherever it is asked,
// and its events come as a stream.
func TestSystemServicesAreImportedAsWithNatsServers(t *testing.T) {
	conf := fmt.Sprintf(exporting, "one")
	theirs, our := stock(t, conf), ours(t, conf)
	their, mine := theirs.as(t, "app"), our.as(t, "app")
	for _, r := range []struct{ subject, body string }{
		{"ping.IDZ", ""},
		{"ping.STATSZ", ""},
		{"ping.VARZ", ""},
		{"ping.CONNZ", `{"acc":"APP"}`},
		{"ping.NONSENSE", ""},
		{"me.INFO", ""},
		{"me.CONNZ", `{"auth":true}`},
		{"me.SUBSZ", ""},
		{"me.STATZ", ""},
		{"me.CONNS", ""},
		{"me.JSZ", ""},
		{"me.NONSENSE", ""},
	} {
		compare(t, r.subject+" "+r.body, ask(t, their, r.subject, r.body), ask(t, mine, r.subject, r.body))
	}
	var events []string
	for _, nc := range []*nats.Conn{their, mine} {
		sub, err := nc.SubscribeSync("$SYS.ACCOUNT.APP.CONNECT")
		must(t, err)
		must(t, nc.Flush())
		other, err := natsConnect(nc.ConnectedUrl(), nats.UserInfo("app", "app"), nats.Name("other"))
		must(t, err)
		t.Cleanup(other.Close)
		m, err := sub.NextMsg(patience)
		must(t, err)
		events = append(events, string(m.Data))
	}
	compare(t, "CONNECT", events[0], events[1])
}

// All brokers of a cluster answer what one of them is asked through an import,
// whoever they are.
func TestSystemServicesAreImportedFromAllBrokers(t *testing.T) {
	text := func(name, routes string) string {
		return fmt.Sprintf(exporting, name) + "\ncluster { name: east, listen: \"127.0.0.1:-1\", " + routes + "}"
	}
	their := stock(t, text("theirs", ""))
	one := ours(t, fmt.Sprintf(exporting, "one"), their.route)
	two := ours(t, fmt.Sprintf(exporting, "two"), one.route)
	for _, s := range []*subject{one, two, their} {
		nc := s.as(t, "app")
		var got map[string]bool // of no more than three, in time or not
		eventually(t, "all answer "+s.name, func() bool { got = answered(t, nc, "ping.IDZ", "name", 4); return len(got) >= 3 })
		if len(got) != 3 || !got["one"] || !got["two"] || !got["theirs"] {
			t.Errorf("asked at %s: %v answer", s.name, got)
		}
	}
}

// answered returns a field of up to so many answers to a request.
func answered(t *testing.T, nc *nats.Conn, subj, field string, most int) map[string]bool {
	t.Helper()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	must(t, err)
	must(t, nc.PublishRequest(subj, inbox, nil))
	all := make(map[string]bool)
	for range most {
		m, err := sub.NextMsg(300 * time.Millisecond)
		if err != nil {
			break
		}
		var v map[string]any
		must(t, json.Unmarshal(m.Data, &v))
		name := fmt.Sprint(v[field])
		if all[name] {
			t.Errorf("%s answers twice", name)
		}
		all[name] = true
	}
	must(t, sub.Unsubscribe())
	return all
}

// What a tenant asks all brokers carries nothing of the tenant's headers into the
// system account: there they would be believed.
func TestHeadersOfTenantsStayOutOfTheSystemAccount(t *testing.T) {
	their := stock(t, basic+"\ncluster { name: east, listen: \"127.0.0.1:-1\" }")
	one := ours(t, strings.Replace(basic, "one", "first", 1), their.route)
	two := ours(t, strings.Replace(basic, "one", "second", 1), one.route)
	for _, s := range []*subject{one, two} {
		sys := s.as(t, "sys")
		trap, err := sys.SubscribeSync("trap.>")
		must(t, err)
		must(t, sys.Flush())
		app := s.as(t, "app")
		inbox := app.NewInbox()
		sub, err := app.SubscribeSync(inbox)
		must(t, err)
		eventually(t, "all answer", func() bool {
			must(t, app.PublishMsg(&nats.Msg{
				Subject: "$SYS.REQ.ACCOUNT.PING.STATZ", Reply: inbox, Data: []byte(`{"include_unused":true}`),
				Header: nats.Header{"Nats-Trace-Dest": {"trap.traced"}, "Nats-Request-Info": {`{"acc":"SYS"}`}, "Accept-Encoding": {"gzip"}},
			}))
			for n := range 3 {
				m, err := sub.NextMsg(300 * time.Millisecond)
				if err != nil {
					return false
				}
				if got := m.Header.Get("Content-Encoding"); got != "gzip" {
					t.Errorf("answer %d is encoded as %q", n, got)
				}
			}
			return true
		})
		if m, err := trap.NextMsg(200 * time.Millisecond); err == nil {
			t.Errorf("a tenant has made a broker publish in the system account: %s", m.Data)
		}
	}
}
