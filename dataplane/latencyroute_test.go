package dataplane_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// measuring has services that tell how long they take, and who imports them.
const measuring = `
accounts {
  P {
    users: [ {user: p, password: p} ]
    exports: [
      {service: "timed.*", latency: "latency.timed"}, {service: "brief", threshold: "200ms", latency: "latency.brief"}
      {service: "traced", latency: {sampling: headers, subject: "latency.traced"}}
    ]
  }
  C {
    users: [ {user: c, password: p} ]
    imports: [ {service: {account: P, subject: "timed.*"}, share: true, to: "p.*"}, {service: {account: P, subject: "brief"}, share: true}, {service: {account: P, subject: "traced"}} ]
  }
  D { users: [ {user: d, password: p} ], imports: [ {service: {account: P, subject: "timed.*"}}, {service: {account: P, subject: "brief"}} ] }
}
`

// named starts a server of either kind with a name, in a cluster with the accounts
// that share.
func named(t *testing.T, ours bool, name, accounts string, seeds ...member) member {
	t.Helper()
	conf := "server_name: " + name + "\n" + clustered("", seeds...) + "\n" + strings.TrimSuffix(strings.TrimSpace(accounts), "}") + "$SYS { users: [ {user: sys, password: p} ] } }"
	if ours {
		return coveyFile(t, conf)
	}
	return stockFile(t, conf)
}

// meshes waits until the account of the servers and another one go everywhere.
func meshes(t *testing.T, members ...member) {
	t.Helper()
	for _, user := range []string{"sys", "p"} {
		meshedAs(t, nats.UserInfo(user, "p"), members...)
	}
}

// pairs runs a test with two nats-servers, and with all other pairs of a server
// where who asks is connected and one where who answers is. All must tell the same.
func pairs(t *testing.T, accounts string, test func(t *testing.T, asks, answers member) []string) {
	t.Helper()
	kinds := map[bool]string{false: "nats-server", true: "ours"}
	var want []string
	for _, ours := range [][2]bool{{false, false}, {true, true}, {true, false}, {false, true}} {
		t.Run(kinds[ours[0]]+" asks "+kinds[ours[1]], func(t *testing.T) {
			asks := named(t, ours[0], "asking", accounts)
			answers := named(t, ours[1], "answering", accounts, asks)
			meshes(t, asks, answers)
			got := test(t, asks, answers)
			if want == nil {
				want = got
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("two nats-servers (-) and these (+) differ:\n%s", diff)
			}
		})
	}
}

// measuredEvent is what does not depend on the clock of an event about a request.
func measuredEvent(t *testing.T, m *nats.Msg) string {
	t.Helper()
	var l map[string]any
	must(t, json.Unmarshal(m.Data, &l))
	parts, total := 0.0, l["total"].(float64)
	for _, key := range []string{"service", "system", "total"} {
		if key != "total" {
			parts += l[key].(float64)
		}
		l[key] = fmt.Sprintf("%T", l[key])
	}
	for _, who := range []string{"requestor", "responder"} {
		info, ok := l[who].(map[string]any)
		if !ok {
			continue
		}
		if rtt, ok := info["rtt"].(float64); ok {
			parts += rtt
		}
		for _, key := range []string{"rtt", "start", "id"} {
			delete(info, key)
		}
	}
	// Estimates of round trips may be longer than what they are part of.
	if l["status"] == 200.0 && (total <= 0 || parts < total) {
		t.Errorf("the parts are %v of %v: %s", parts, total, m.Data)
	}
	for _, key := range []string{"id", "timestamp", "start"} {
		if v, ok := l[key].(string); !ok || v == "" {
			t.Errorf("%s is %v", key, l[key])
		}
	}
	maps.DeleteFunc(l, func(key string, _ any) bool { return key == "id" || key == "timestamp" || key == "start" })
	text, err := json.Marshal(l)
	must(t, err)
	return m.Subject + " " + string(text)
}

// hears returns the next event, which must be the same at both servers.
func hears(t *testing.T, here, there *nats.Subscription) string {
	t.Helper()
	m, err := here.NextMsg(time.Minute)
	must(t, err)
	far, err := there.NextMsg(time.Minute)
	must(t, err)
	if string(far.Data) != string(m.Data) {
		t.Errorf("one server tells %s, the other %s", m.Data, far.Data)
	}
	return measuredEvent(t, m)
}

// The event about a request that is answered at another server has both halves: who
// asks, and who answers and how long that took.
func TestLatencyAcrossServersIsToldAsByStock(t *testing.T) {
	pairs(t, measuring, func(t *testing.T, asks, answers member) (out []string) {
		p, c, d := dialAs(t, answers, "p"), dialAs(t, asks, "c"), dialAs(t, asks, "d")
		watch := dialAs(t, asks, "p")
		here, err := watch.SubscribeSync("latency.>")
		must(t, err)
		there, err := p.SubscribeSync("latency.>")
		must(t, err)
		var ids []string
		for _, subject := range []string{"timed.*", "traced"} {
			_, err = p.Subscribe(subject, func(m *nats.Msg) {
				if string(m.Data) != "silence" {
					ids = append(ids, m.Reply)
					_ = m.Respond([]byte("x"))
				}
			})
			must(t, err)
		}
		_, err = p.SubscribeSync("brief") // and never answers
		must(t, err)
		_, err = p.Subscribe("ready", func(m *nats.Msg) { _ = m.Respond(nil) })
		must(t, err)
		must(t, p.Flush())
		must(t, watch.Flush())
		interested(t, watch, "ready")
		_, err = watch.Request("ready", nil, time.Minute)
		must(t, err)

		for nc, subject := range map[*nats.Conn]string{c: "p.x", d: "timed.x"} {
			_, err := nc.Request(subject, []byte("q"), time.Minute)
			must(t, err)
			out = append(out, hears(t, here, there))
		}
		if !strings.HasSuffix(ids[0], ".T") {
			t.Errorf("the answer goes to %s, which the other server does not measure", ids[0])
		}
		slices.Sort(out)
		must(t, c.Publish("p.x", []byte("no reply")))
		out = append(out, hears(t, here, there))
		must(t, d.PublishRequest("brief", "somewhere", []byte("silence")))
		out = append(out, hears(t, here, there))
		inbox := nats.NewInbox()
		left, err := c.SubscribeSync(inbox)
		must(t, err)
		must(t, c.PublishRequest("p.x", inbox, []byte("silence")))
		must(t, left.Unsubscribe())
		out = append(out, hears(t, here, there))
		for _, h := range []nats.Header{
			{},
			{"Uber-Trace-Id": {"479fefe9525eddb:5adb976bfc1f95c1:479fefe9525eddb:1"}, "Uberctx-A": {"b"}},
			{"X-B3-Sampled": {"0"}},
			{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "Tracestate": {"a=b"}},
		} {
			_, err := c.RequestMsg(&nats.Msg{Subject: "traced", Header: h}, time.Minute)
			must(t, err)
		}
		out = append(out, hears(t, here, there), hears(t, here, there))
		if m, err := here.NextMsg(20 * time.Millisecond); err == nil {
			t.Errorf("more was told than was asked for: %s", m.Data)
		}
		return out
	})
}

// When it is somebody else who answers, the other broker measures nothing. Then
// what is known here is told, and the right to answer has ended all the same.
func TestLatencyIsToldWithoutTheOtherBroker(t *testing.T) {
	asks := named(t, true, "asking", measuring)
	answers := named(t, true, "answering", measuring, asks)
	meshes(t, asks, answers)
	p, other, c := dialAs(t, answers, "p"), dialAs(t, answers, "p"), dialAs(t, asks, "c")
	events, err := dialAs(t, asks, "p").SubscribeSync("latency.timed")
	must(t, err)
	requests, err := p.SubscribeSync("timed.*")
	must(t, err)
	must(t, p.Flush())
	inbox, err := c.SubscribeSync("inbox")
	must(t, err)
	must(t, c.Flush())
	var m *nats.Msg
	eventually(t, "a request at the other broker", func() bool {
		must(t, c.PublishRequest("p.x", "inbox", nil))
		m, err = requests.NextMsg(50 * time.Millisecond)
		return err == nil
	})
	// Nor is a client believed that says what a broker would.
	forger := dialAs(t, asks, "sys")
	tokens := strings.Split(m.Reply, ".")
	must(t, forger.Publish("$SYS.LATENCY.M2."+tokens[len(tokens)-2], fmt.Appendf(nil, `{"account":"P","req_id":%q,"m2":{"status":200,"responder":{"user":"forged"}}}`, m.Reply)))
	must(t, forger.Flush())
	must(t, other.Publish(m.Reply, []byte("x")))
	must(t, other.Publish(m.Reply, []byte("too late")))
	a, err := inbox.NextMsg(time.Minute)
	for errors.Is(err, nats.ErrNoResponders) { // to what was asked before the brokers knew of each other
		a, err = inbox.NextMsg(time.Minute)
	}
	must(t, err)
	if string(a.Data) != "x" {
		t.Errorf("the answer is %q", a.Data)
	}
	for {
		e, err := events.NextMsg(time.Minute)
		must(t, err)
		if strings.Contains(string(e.Data), `"status":200`) {
			if strings.Contains(string(e.Data), "responder") {
				t.Errorf("somebody is named: %s", e.Data)
			}
			if b, ok := asks.(*running); !ok || !b.log.says("what another broker says of a request makes no sense") {
				t.Error("nobody warned of the forged word")
			}
			break
		}
	}
	if a, err := inbox.NextMsg(20 * time.Millisecond); err == nil {
		t.Errorf("a second answer came: %q", a.Data)
	}
}
