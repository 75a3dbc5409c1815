package dataplane_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// sharing are accounts that share all there is to share.
const sharing = `
accounts {
  P {
    users: [ {user: p, password: p} ]
    exports: [
      {stream: "news.>"}, {service: "ask.*"}, {service: "many.*", response: stream}, {service: "$SRV.>", response: stream}, {service: "sum.>"}
      {service: "timed", latency: "latency.timed"}, {service: "brief", threshold: "300ms", latency: "latency.timed"}
      {service: "traced", latency: {sampling: headers, subject: "latency.traced"}}
    ]
  }
  C {
    users: [ {user: c, password: p} ]
    imports: [
      {stream: {account: P, subject: "news.>"}, prefix: from}, {service: {account: P, subject: "ask.*"}, to: "p.*"}, {service: {account: P, subject: "many.*"}}
      {service: {account: P, subject: "$SRV.>"}}, {service: {account: P, subject: "sum.>"}}
      {service: {account: P, subject: "timed"}, share: true}, {service: {account: P, subject: "traced"}}
    ]
  }
  D { users: [ {user: d, password: p} ], imports: [ {service: {account: P, subject: "timed"}}, {service: {account: P, subject: "brief"}} ] }
}
`

func dialAs(t *testing.T, m member, user string) *nats.Conn {
	t.Helper()
	return dialURL(t, m, nats.UserInfo(user, "p"), nats.Name("as "+user))
}

// serves are both servers with the same file.
func serves(t *testing.T, test func(t *testing.T, m member) []string) {
	t.Helper()
	conf := "listen: \"127.0.0.1:-1\"\n" + sharing
	var stock, ours []string
	t.Run("nats-server", func(t *testing.T) { stock = test(t, stockFile(t, conf)) })
	t.Run("ours", func(t *testing.T) { ours = test(t, coveyFile(t, conf)) })
	if !slices.Equal(stock, ours) {
		t.Errorf("nats-server:\n%s\nours:\n%s", strings.Join(stock, "\n"), strings.Join(ours, "\n"))
	}
}

// A micro service is found, asked and counted from another account.
func TestMicroServicesAcrossAccounts(t *testing.T) {
	serves(t, func(t *testing.T, m member) (out []string) {
		p, c := dialAs(t, m, "p"), dialAs(t, m, "c")
		svc, err := micro.AddService(p, micro.Config{
			Name: "sum", Version: "1.0.0",
			Endpoint: &micro.EndpointConfig{Subject: "sum.all", Handler: micro.HandlerFunc(func(r micro.Request) {
				_ = r.Respond(append([]byte("= "), r.Data()...))
			})},
		})
		must(t, err)
		must(t, p.Flush())
		for i := range 3 {
			r, err := c.Request("sum.all", fmt.Append(nil, i), time.Minute)
			must(t, err)
			out = append(out, string(r.Data))
		}
		r, err := c.Request("$SRV.INFO.sum", nil, time.Minute)
		must(t, err)
		var info micro.Info
		must(t, json.Unmarshal(r.Data, &info))
		out = append(out, info.Name, info.Version, info.Endpoints[0].Subject)
		var stats micro.Stats
		eventually(t, "three requests are counted, each a moment after it is answered", func() bool {
			r, err := c.Request("$SRV.STATS.sum."+svc.Info().ID, nil, time.Minute)
			must(t, err)
			must(t, json.Unmarshal(r.Data, &stats))
			return stats.Endpoints[0].NumRequests >= 3
		})
		return append(out, fmt.Sprint(stats.Endpoints[0].NumRequests))
	})
}

// One request gets many answers, and both sides hear only what they may.
func TestRequestsAndStreamsAcrossAccounts(t *testing.T) {
	serves(t, func(t *testing.T, m member) (out []string) {
		p, c := dialAs(t, m, "p"), dialAs(t, m, "c")
		_, err := p.Subscribe("many.*", func(m *nats.Msg) {
			for i := range 100 {
				_ = m.Respond(fmt.Append(nil, i))
			}
		})
		must(t, err)
		must(t, p.Flush())
		inbox := nats.NewInbox()
		answers, err := c.SubscribeSync(inbox)
		must(t, err)
		news, err := c.SubscribeSync("from.news.*")
		must(t, err)
		must(t, c.PublishRequest("many.x", inbox, nil))
		for range 100 {
			a, err := answers.NextMsg(time.Minute)
			must(t, err)
			out = append(out, string(a.Data))
		}
		for i := range 10 {
			must(t, p.PublishMsg(&nats.Msg{Subject: "news.a", Reply: "back", Data: fmt.Append(nil, i), Header: nats.Header{"K": {"v"}}}))
		}
		for range 10 {
			n, err := news.NextMsg(time.Minute)
			must(t, err)
			out = append(out, n.Subject, n.Reply, n.Header.Get("K"), string(n.Data))
		}
		_, err = c.Request("p.nobody", nil, time.Minute)
		return append(out, fmt.Sprint(err))
	})
}

// latency reads events until there is none for a while, and tells what does not
// depend on the clock.
func latency(t *testing.T, sub *nats.Subscription) string {
	t.Helper()
	m, err := sub.NextMsg(time.Minute)
	must(t, err)
	var l map[string]any
	must(t, json.Unmarshal(m.Data, &l))
	for _, key := range []string{"id", "timestamp", "start"} {
		if v, ok := l[key].(string); !ok || v == "" {
			t.Errorf("%s is %v", key, l[key])
		}
		delete(l, key)
	}
	if l["status"] == 200.0 && (l["total"].(float64) <= 0 || l["service"].(float64) < 0) {
		t.Errorf("no latency in %s", m.Data)
	}
	for _, key := range []string{"service", "system", "total"} {
		l[key] = fmt.Sprintf("%T", l[key])
	}
	for _, who := range []string{"requestor", "responder"} {
		if info, ok := l[who].(map[string]any); ok {
			maps.DeleteFunc(info, func(key string, _ any) bool {
				return key == "rtt" || key == "start" || key == "id" || key == "server" || key == "ver"
			})
		}
	}
	text, err := json.Marshal(l)
	must(t, err)
	return string(text)
}

func TestLatencyIsToldAsByStock(t *testing.T) {
	serves(t, func(t *testing.T, m member) (out []string) {
		p, c, d := dialAs(t, m, "p"), dialAs(t, m, "c"), dialAs(t, m, "d")
		events, err := p.SubscribeSync("latency.timed")
		must(t, err)
		must(t, p.Flush())
		_, err = c.Request("timed", nil, time.Minute)
		out = append(out, fmt.Sprint(err), latency(t, events))
		svc, err := p.Subscribe("timed", func(m *nats.Msg) {
			if string(m.Data) != "silence" {
				_ = m.Respond([]byte("x"))
			}
		})
		must(t, err)
		_, err = p.SubscribeSync("brief") // and never answers
		must(t, err)
		must(t, p.Flush())
		for _, nc := range []*nats.Conn{c, d} {
			_, err = nc.Request("timed", []byte("q"), time.Minute)
			must(t, err)
			out = append(out, latency(t, events))
		}
		must(t, c.Publish("timed", []byte("no reply")))
		out = append(out, latency(t, events))
		must(t, d.PublishRequest("brief", "somewhere", []byte("silence")))
		out = append(out, latency(t, events))
		leaving := dialAs(t, m, "c")
		for _, leave := range []func(*nats.Subscription){func(s *nats.Subscription) { must(t, s.Unsubscribe()) }, func(*nats.Subscription) { leaving.Close() }} {
			inbox := nats.NewInbox()
			answers, err := leaving.SubscribeSync(inbox)
			must(t, err)
			must(t, leaving.PublishRequest("timed", inbox, []byte("silence")))
			must(t, leaving.Flush())
			leave(answers)
			out = append(out, latency(t, events))
		}
		must(t, svc.Unsubscribe())

		traced, err := p.SubscribeSync("latency.traced")
		must(t, err)
		_, err = p.Subscribe("traced", func(m *nats.Msg) { _ = m.Respond([]byte("x")) })
		must(t, err)
		must(t, p.Flush())
		for _, h := range []nats.Header{
			{},
			{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}},
			{"Uber-Trace-Id": {"479fefe9525eddb:5adb976bfc1f95c1:479fefe9525eddb:1"}, "Uberctx-A": {"b"}},
			{"B3": {"0"}},
			{"X-B3-Sampled": {"1"}, "X-B3-TraceId": {"80f198ee56343ba864fe8b2a57d3eff7"}},
			{"B3": {"80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90"}},
			{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "Tracestate": {"a=b"}},
		} {
			_, err := c.RequestMsg(&nats.Msg{Subject: "traced", Header: h}, time.Minute)
			must(t, err)
		}
		for range 4 {
			out = append(out, latency(t, traced))
		}
		if _, err := traced.NextMsg(10 * time.Millisecond); err == nil {
			t.Error("more was measured than was asked for")
		}
		return out
	})
}

// What monitoring says of sharing is what nats-server says; that has imports of
// the system account besides.
func TestAccountzTellsWhatIsShared(t *testing.T) {
	conf := strings.Replace("listen: \"127.0.0.1:-1\"\n"+sharing, "users: [ {user: c, password: p} ]",
		`users: [ {user: c, password: p} ], mappings: { a: b }`, 1)
	s, b := stockFile(t, conf), coveyFile(t, conf)
	for _, acc := range []string{"P", "C", "D"} {
		z, err := s.Accountz(&server.AccountzOptions{Account: acc})
		must(t, err)
		text, err := json.Marshal(z)
		must(t, err)
		want := sharedBy(t, text)
		var whole json.RawMessage
		ask(t, b.Broker, "/accountz?acc="+acc, &whole)
		if got := sharedBy(t, whole); got != want {
			t.Errorf("%s:\nnats-server %s\nours        %s", acc, want, got)
		}
	}
}

// sharedBy returns, in order, what /accountz says that an account shares.
func sharedBy(t *testing.T, answer []byte) string {
	t.Helper()
	var z struct {
		Account map[string]any `json:"account_detail"`
	}
	must(t, json.Unmarshal(answer, &z))
	out := fmt.Sprintln("complete:", z.Account["complete"])
	var lines []string
	for _, key := range []string{"exports", "imports", "mappings"} {
		list, ok := z.Account[key].([]any)
		if !ok {
			list = []any{z.Account[key]}
		}
		for _, e := range list {
			text, err := json.Marshal(e)
			must(t, err)
			if e != nil && !strings.Contains(string(text), "$SYS") {
				lines = append(lines, key+" "+string(text))
			}
		}
	}
	slices.Sort(lines)
	return out + strings.Join(lines, "\n")
}

// Accounts share over routes, whoever is on the other end.
func TestSharingOverRoutes(t *testing.T) {
	behind := "}\n" + strings.TrimSuffix(strings.TrimSpace(sharing), "}") // the cluster's block
	either(t, behind, behind, func(t *testing.T, a, b member) {
		for _, at := range [][2]member{{a, b}, {b, a}} {
			p, c := dialAs(t, at[0], "p"), dialAs(t, at[1], "c")
			_, err := p.Subscribe("ask.*", func(m *nats.Msg) { _ = m.Respond([]byte("re: " + m.Subject)) })
			must(t, err)
			news, err := c.SubscribeSync("from.news.>")
			must(t, err)
			must(t, c.Flush())
			must(t, p.Flush())
			eventually(t, "an answer from the other broker", func() bool {
				r, err := c.Request("p.x", nil, time.Second)
				return err == nil && string(r.Data) == "re: ask.x"
			})
			eventually(t, "news from the other broker", func() bool {
				must(t, p.Publish("news.a", []byte("x")))
				m, err := news.NextMsg(50 * time.Millisecond)
				return err == nil && m.Subject == "from.news.a"
			})
			for i := range 50 {
				r, err := c.Request(fmt.Sprintf("p.%d", i), nil, time.Minute)
				must(t, err)
				if want := fmt.Sprintf("re: ask.%d", i); string(r.Data) != want {
					t.Errorf("got %q, want %q", r.Data, want)
				}
			}
			p.Close()
			c.Close()
		}
	})
}
