package dataplane_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// traceConf has an account that traces what a traceparent asks for, one that
// does not, and a user who may not everything.
const traceConf = `
accounts {
  A {
    users: [ {user: a, password: a}, {user: s, password: s, permissions: {publish: {deny: ["no.pub", "no.trace"]}, subscribe: {allow: [">"], deny: "no.sub"}}} ]
    mappings { from: to }
    msg_trace { dest: parent.trace, sampling: "100%" }
  }
  B { users: [ {user: b, password: b} ] }
}
`

// traceAbroadConf has services and a stream whose importers may be told of what
// becomes of a message, and some whose may not.
const traceAbroadConf = `
accounts {
  A {
    users: [ {user: a, password: a}, {user: s, password: s} ]
    imports: [ {service: {account: B, subject: "open.*"}}, {service: {account: B, subject: shut}}, {service: {account: B, subject: far}, to: near} ]
    exports: [ {stream: "news"} ]
  }
  B {
    users: [ {user: b, password: b} ]
    exports: [ {service: "open.*", allow_trace: true}, {service: shut}, {service: far, allow_trace: true} ]
    imports: [ {service: {account: C, subject: "open.next"}, to: "open.chain"}, {stream: {account: A, subject: "news"}, allow_trace: true} ]
    mappings { far: "open.mapped" }
  }
  C { users: [ {user: c, password: c} ], exports: [ {service: "open.next", allow_trace: true} ] }
}
`

// A trace goes on in the account of a service that allows it.
func TestMessageTracingOfServicesIsNatsServers(t *testing.T) {
	const dest, only = "Nats-Trace-Dest", "Nats-Trace-Only"
	for _, c := range []struct {
		name, subject string
		header        nats.Header
	}{
		{"allowed", "open.a", nats.Header{dest: {"my.trace"}}},
		{"allowed, only", "open.a", nats.Header{dest: {"my.trace"}, only: {"1"}}},
		{"to nobody", "open.b", nats.Header{dest: {"my.trace"}}},
		{"not allowed", "shut", nats.Header{dest: {"my.trace"}}},
		{"not allowed, only", "shut", nats.Header{dest: {"my.trace"}, only: {"1"}}},
		{"through two", "open.chain", nats.Header{dest: {"my.trace"}}},
		{"mapped there", "near", nats.Header{dest: {"my.trace"}}},
		{"a stream", "news", nats.Header{dest: {"my.trace"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stock, ours := rivals(t, traceAbroadConf)
			want, wantHeard := stock.tracedAbroad(t, c.subject, c.header)
			got, heard := ours.tracedAbroad(t, c.subject, c.header)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("nats-server (-) and ours (+) differ:\n%s", diff)
			}
			if diff := cmp.Diff(wantHeard, heard); diff != "" {
				t.Errorf("who gets it: nats-server (-) and ours (+) differ:\n%s", diff)
			}
		})
	}
}

// tracedAbroad sends a request and returns the event and what others heard.
func (r rival) tracedAbroad(t *testing.T, subject string, header nats.Header) (event string, heard []string) {
	t.Helper()
	connect := func(user, name string) *nats.Conn {
		nc, err := natsConnect("nats://"+r.client, nats.UserInfo(user, user), nats.Name(name))
		must(t, err)
		t.Cleanup(nc.Close)
		return nc
	}
	watch, asker := connect("a", "watch"), connect("a", "asker")
	traces, err := watch.SubscribeSync("my.trace")
	must(t, err)
	must(t, watch.Flush())
	var subs []*nats.Subscription
	var conns []*nats.Conn
	for _, who := range []struct{ user, subject string }{{"b", "open.a"}, {"b", "open.mapped"}, {"b", "shut"}, {"b", "news"}, {"c", "open.next"}} {
		nc := connect(who.user, "of "+who.user)
		sub, err := nc.SubscribeSync(who.subject)
		must(t, err)
		must(t, nc.Flush())
		subs, conns = append(subs, sub), append(conns, nc)
	}
	must(t, asker.PublishMsg(&nats.Msg{Subject: subject, Reply: "inbox", Header: header, Data: []byte("data")}))
	must(t, asker.Flush())
	m, err := traces.NextMsg(time.Minute)
	must(t, err)
	event = maskTrace(t, m, r)
	for i, sub := range subs {
		must(t, conns[i].Flush()) // what was delivered is here by then
		if m, err := sub.NextMsg(time.Millisecond); err == nil {
			heard = append(heard, fmt.Sprint(sub.Subject, " ", m.Subject, " told where events go: ", m.Header.Get("Nats-Trace-Dest") == "my.trace"))
		}
	}
	return event, heard
}

// tracedCase is a message that asks for tracing.
type tracedCase struct {
	user, subject string
	header        nats.Header
	reply         string
	dest          string // where the event is expected; empty for none
	delivered     bool   // to the plain subscription on >
}

func tracedCases() map[string]tracedCase {
	with := func(pairs ...string) nats.Header {
		h := nats.Header{"X-Own": {"1", "2"}}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
		}
		return h
	}
	const dest, only, parent = "Nats-Trace-Dest", "Nats-Trace-Only", "traceparent"
	const sampled, unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	return map[string]tracedCase{
		"plain":                 {"a", "foo", with(dest, "my.trace"), "", "my.trace", true},
		"with a reply":          {"a", "foo", with(dest, "my.trace"), "some.reply", "my.trace", true},
		"only":                  {"a", "foo", with(dest, "my.trace", only, "true"), "", "my.trace", false},
		"only, another word":    {"a", "foo", with(dest, "my.trace", only, "On"), "", "my.trace", false},
		"not only":              {"a", "foo", with(dest, "my.trace", only, "no"), "", "my.trace", true},
		"mapped":                {"a", "from", with(dest, "my.trace"), "", "my.trace", true},
		"to nobody":             {"a", "lonely", with(dest, "my.trace"), "", "my.trace", true},
		"a bad destination":     {"a", "foo", with(dest, "my.*"), "", "", true},
		"only, to a bad one":    {"a", "foo", with(dest, "my.*", only, "1"), "", "", false},
		"only, to none":         {"a", "foo", with(only, "1"), "", "", true},
		"disabled":              {"a", "foo", with(dest, "trace disabled"), "", "", true},
		"an old header":         {"a", "foo", with(dest, "my.trace", "Nats-Trace-Origin-Account", "X"), "", "", true},
		"traceparent":           {"a", "foo", with(parent, sampled), "", "parent.trace", true},
		"Traceparent":           {"a", "foo", with("Traceparent", sampled), "", "parent.trace", true},
		"unsampled":             {"a", "foo", with(parent, unsampled), "", "", true},
		"not a traceparent":     {"a", "foo", with(parent, "00-1"), "", "", true},
		"both":                  {"a", "foo", with(parent, sampled, dest, "my.trace"), "", "my.trace", true},
		"not sampled here":      {"b", "foo", with(parent, sampled), "", "", true},
		"account B":             {"b", "foo", with(dest, "my.trace"), "", "my.trace", true},
		"may not publish":       {"s", "no.pub", with(dest, "my.trace"), "", "my.trace", false},
		"may not publish there": {"s", "foo", with(dest, "no.trace"), "", "", false},
		"compressed":            {"a", "foo", with(dest, "my.trace", "Accept-Encoding", "gzip"), "", "my.trace", true},
	}
}

// traced sends a message of a case and returns the event, its masked form, and
// whether the message was delivered.
func (r rival) traced(t *testing.T, c tracedCase) (event string, delivered bool) {
	t.Helper()
	connect := func(user, name string, opts ...nats.Option) *nats.Conn {
		nc, err := natsConnect("nats://"+r.client, append([]nats.Option{nats.UserInfo(user, user), nats.Name(name)}, opts...)...)
		must(t, err)
		t.Cleanup(nc.Close)
		return nc
	}
	account := map[string]string{"a": "a", "s": "a", "b": "b"}[c.user]
	watch := connect(account, "watch")
	traces, err := watch.SubscribeSync("*.trace")
	must(t, err)
	must(t, watch.Flush())
	plain := connect(account, "plain")
	got, err := plain.SubscribeSync(">")
	must(t, err)
	must(t, plain.Flush())
	denied := connect("s", "denied")
	_, err = denied.SubscribeSync("*.*")
	must(t, err)
	_, err = denied.QueueSubscribe("foo", "workers", func(*nats.Msg) {})
	must(t, err)
	must(t, denied.Flush())
	spent, err := plain.SubscribeSync("lonely")
	must(t, err)
	must(t, spent.AutoUnsubscribe(5))
	must(t, plain.Flush())
	publisher := connect(c.user, "publisher", nats.NoEcho())
	_, err = publisher.SubscribeSync("foo")
	must(t, err)
	must(t, publisher.Flush())
	must(t, publisher.PublishMsg(&nats.Msg{Subject: c.subject, Reply: c.reply, Header: c.header, Data: []byte("data")}))
	must(t, publisher.Flush())
	must(t, plain.Publish("end", nil))
	for {
		m, err := got.NextMsg(time.Minute)
		must(t, err)
		if m.Subject == "end" {
			break
		}
		delivered = delivered || string(m.Data) == "data"
	}
	if c.dest != "" {
		m, err := traces.NextMsg(time.Minute)
		must(t, err)
		if m.Subject != c.dest {
			t.Errorf("an event on %s", m.Subject)
		}
		event = maskTrace(t, m, r)
	}
	must(t, watch.Flush())
	if m, err := traces.NextMsg(5 * time.Millisecond); err == nil {
		t.Errorf("%s: another event: %s", r.name, m.Data)
	}
	return event, delivered
}

// maskTrace replaces what differs between two servers, and sorts the events of
// one moment.
func maskTrace(t *testing.T, m *nats.Msg, r rival) string {
	t.Helper()
	data := m.Data
	if m.Header.Get("Content-Encoding") == "gzip" {
		in, err := gzip.NewReader(bytes.NewReader(data))
		must(t, err)
		data, err = io.ReadAll(in)
		must(t, err)
	}
	var v map[string]any
	must(t, json.Unmarshal(data, &v))
	s := v["server"].(map[string]any)
	if s["id"] == "" || s["name"] == "" || s["ver"] == "" || s["time"] == nil {
		t.Errorf("%s: server %v", r.name, s)
	}
	v["server"] = "masked"
	var lines []string
	for i, e := range v["events"].([]any) {
		e := e.(map[string]any)
		if _, err := time.Parse(time.RFC3339Nano, e["ts"].(string)); err != nil {
			t.Errorf("%s: ts %v", r.name, e["ts"])
		}
		if n, _ := e["cid"].(float64); e["type"] != "sm" && e["type"] != "si" && e["type"] != "se" && n == 0 {
			t.Errorf("%s: no cid in %v", r.name, e)
		}
		delete(e, "ts")
		delete(e, "cid")
		text, err := json.Marshal(e)
		must(t, err)
		if i == 0 && e["type"] != "in" {
			t.Errorf("%s: the first event is %s", r.name, text)
		}
		lines = append(lines, string(text))
	}
	slices.Sort(lines[1:])
	delete(v, "events")
	text, err := json.Marshal(v)
	must(t, err)
	return fmt.Sprintf("%s %s\n%s", m.Header.Get("Content-Encoding"), text, strings.Join(lines, "\n"))
}

func TestMessageTracingIsNatsServers(t *testing.T) {
	for name, c := range tracedCases() {
		t.Run(name, func(t *testing.T) {
			stock, ours := rivals(t, traceConf)
			want, wantDelivered := stock.traced(t, c)
			got, delivered := ours.traced(t, c)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("nats-server (-) and ours (+) differ:\n%s", diff)
			}
			if delivered != wantDelivered || delivered != c.delivered {
				t.Errorf("delivered: %v, by nats-server: %v", delivered, wantDelivered)
			}
		})
	}
}

func TestMessageTracingAcrossBrokers(t *testing.T) {
	for name, pair := range map[string]func() (a, b member){
		"ours, ours":        func() (a, b member) { a = covey(t, 0); return a, covey(t, 0, a) },
		"ours, nats-server": func() (a, b member) { a = covey(t, 0); return a, stock(t, 0, a) },
		"nats-server, ours": func() (a, b member) { a = stock(t, 0); return a, covey(t, 0, a) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair()
			meshed(t, a, b)
			for _, only := range []string{"", "true"} {
				near, far := dialURL(t, a, nats.Name("near")), dialURL(t, b, nats.Name("far"))
				subject := "foo" + only // of its own: those who left may still be known
				heard, err := far.SubscribeSync(subject)
				must(t, err)
				workers, err := far.QueueSubscribeSync(subject, "workers")
				must(t, err)
				must(t, far.Flush())
				traces, err := near.SubscribeSync("my.trace")
				must(t, err)
				must(t, near.Flush())
				reaches(t, near, far, "ready.to"+only)
				reaches(t, far, near, "back.to"+only)
				h := nats.Header{"Nats-Trace-Dest": {"my.trace"}}
				if only != "" {
					h.Set("Nats-Trace-Only", only)
				}
				must(t, near.PublishMsg(&nats.Msg{Subject: subject, Header: h, Data: []byte("x")}))
				here, there := hops(t, traces)
				checkHops(t, here, there, subject)
				for _, sub := range []*nats.Subscription{heard, workers} {
					m, err := sub.NextMsg(map[bool]time.Duration{true: time.Minute, false: 20 * time.Millisecond}[only == ""])
					if (err == nil) != (only == "") {
						t.Errorf("only %q: %v, %v", only, m, err)
					}
				}
				near.Close()
				far.Close()
			}
		})
	}
}

// reaches waits until what one publishes reaches the other.
func reaches(t *testing.T, from, to *nats.Conn, subject string) {
	t.Helper()
	sub, err := to.SubscribeSync(subject)
	must(t, err)
	must(t, to.Flush())
	eventually(t, subject, func() bool {
		must(t, from.Publish(subject, nil))
		_, err := sub.NextMsg(20 * time.Millisecond)
		return err == nil
	})
}

// hopEvent is of a trace event what tells how brokers hang together.
type hopEvent struct {
	Server  struct{ Name string }
	Request struct{ Header map[string][]string }
	Hops    int
	Events  []struct {
		Type, Name, Hop, Sub, Queue, Error string
		Kind                               int
	}
}

// hops returns the events of the first broker and of the second one.
func hops(t *testing.T, traces *nats.Subscription) (here, there hopEvent) {
	t.Helper()
	for range 2 {
		m, err := traces.NextMsg(time.Minute)
		must(t, err)
		var e hopEvent
		must(t, json.Unmarshal(m.Data, &e))
		if e.Events[0].Kind == 0 {
			here = e
		} else {
			there = e
		}
	}
	return here, there
}

func checkHops(t *testing.T, here, there hopEvent, subject string) {
	t.Helper()
	if here.Hops != 1 || len(here.Events) != 2 || here.Events[1].Kind != 1 || here.Events[1].Hop != "1" ||
		here.Events[1].Name != there.Server.Name || here.Events[1].Error != "" {
		t.Errorf("the first broker says %+v", here)
	}
	if len(there.Events) != 3 || there.Events[0].Kind != 1 || there.Events[0].Name != here.Server.Name ||
		there.Request.Header["Nats-Trace-Hop"] == nil || there.Request.Header["Nats-Trace-Hop"][0] != "1" {
		t.Fatalf("the second broker says %+v", there)
	}
	for _, e := range there.Events[1:] {
		if e.Kind != 0 || e.Name != "far" || e.Sub != subject || e.Error != "" {
			t.Errorf("the second broker says of a destination %+v", e)
		}
	}
}
