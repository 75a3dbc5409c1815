package dataplane_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// traceRouteConf has imports that let a trace through, and some that end it.
const traceRouteConf = `
accounts {
  A {
    users: [ {user: a, password: p}, {user: p, password: p} ]
    imports: [ {service: {account: B, subject: "open.*"}}, {service: {account: B, subject: shut}}, {service: {account: B, subject: far}, to: near} ]
    exports: [ {stream: "news"} ]
  }
  B {
    users: [ {user: b, password: p} ]
    exports: [ {service: "open.*", allow_trace: true}, {service: shut}, {service: far, allow_trace: true} ]
    imports: [ {service: {account: C, subject: "open.next"}, to: "open.chain"}, {stream: {account: A, subject: "news"}, allow_trace: true} ]
    mappings { far: "open.mapped" }
  }
  C { users: [ {user: c, password: p} ], exports: [ {service: "open.next", allow_trace: true} ], imports: [ {stream: {account: A, subject: "news"}, to: "closed.news"} ] }
}
`

// tracedThere is a message that is traced and goes to clients of other accounts at
// another server.
type tracedThere struct {
	name, subject string
	only          bool
	heard         []string // by whom, and as what
}

var tracesThere = []tracedThere{
	{"to a service", "open.a", false, []string{"b open.a"}},
	{"to a service, only", "open.a", true, nil},
	{"to a group", "open.group", false, []string{"b open.group"}},
	{"to a service that does not allow it", "shut", false, []string{"b shut"}},
	{"to a service that does not allow it, only", "shut", true, nil},
	{"through two services", "open.chain", false, []string{"c open.next"}},
	{"through two services, only", "open.chain", true, nil},
	{"mapped there", "near", false, []string{"b open.mapped"}},
	{"of a stream", "news", false, []string{"b news", "c closed.news"}},
	{"of a stream, only", "news", true, nil},
}

// A trace goes over routes into the accounts that allow it, and what becomes of the
// message there comes back.
func TestTracesCrossAccountsAndServersAsByStock(t *testing.T) {
	pairs(t, traceRouteConf, func(t *testing.T, asks, answers member) (out []string) {
		near, far := dialAs(t, asks, "a"), dialAs(t, answers, "a")
		here, err := near.SubscribeSync("my.trace")
		must(t, err)
		there, err := far.SubscribeSync("my.trace")
		must(t, err)
		heard := make(chan string, 100)
		for _, who := range []struct{ user, subject, queue string }{
			{"b", "open.a", ""},
			{"b", "open.mapped", ""},
			{"b", "shut", ""},
			{"b", "news", ""},
			{"b", "open.group", "g"},
			{"c", "open.next", ""},
			{"c", "closed.news", ""},
		} {
			nc := dialAs(t, answers, who.user)
			_, err := nc.QueueSubscribe(who.subject, who.queue, func(m *nats.Msg) {
				if len(m.Data) > 0 {
					heard <- who.user + " " + m.Subject
				}
				if m.Header.Get("Nats-Trace-Dest") == "my.trace" && m.Subject != "news" && m.Subject != "closed.news" {
					t.Errorf("%s is told where the events go", who.user)
				}
			})
			must(t, err)
			must(t, nc.Flush())
		}
		for _, user := range []string{"a", "b", "c"} {
			reaches(t, dialAs(t, answers, user), dialAs(t, asks, user), "ready")
		}
		must(t, near.Flush())
		for _, c := range tracesThere {
			h := nats.Header{"Nats-Trace-Dest": {"my.trace"}}
			if c.only {
				h.Set("Nats-Trace-Only", "true")
			}
			must(t, near.PublishMsg(&nats.Msg{Subject: c.subject, Reply: "inbox", Header: h, Data: []byte("data")}))
			out = append(out, c.name)
			out = append(out, tracesOf(t, here, "asking")...)
			if n := len(tracesOf(t, there, "asking")); n != len(out)-slices.Index(out, c.name)-1 {
				t.Errorf("%s: %d events at the other server", c.name, n)
			}
			for range c.heard {
				select {
				case who := <-heard:
					if !slices.Contains(c.heard, who) {
						t.Errorf("%s: heard by %s", c.name, who)
					}
				case <-time.After(time.Minute):
					t.Fatalf("%s: not heard by %v", c.name, c.heard)
				}
			}
		}
		select {
		case who := <-heard:
			t.Errorf("heard by %s, too", who)
		case <-time.After(20 * time.Millisecond):
		}
		out = append(out, "an answer")
		out = append(out, tracedAnswer(t, near, dialAs(t, answers, "b"), dialAs(t, asks, "b"))...)
		for _, sub := range []*nats.Subscription{here, there} {
			if m, err := sub.NextMsg(time.Millisecond); err == nil {
				t.Errorf("another event: %s", m.Data)
			}
		}
		return out
	})
}

// tracedAnswer returns the events of an answer that is traced, both ones.
func tracedAnswer(t *testing.T, asks, answers, watches *nats.Conn) []string {
	t.Helper()
	events, err := watches.SubscribeSync("answer.trace")
	must(t, err)
	must(t, watches.Flush())
	_, err = answers.Subscribe("open.answer", func(m *nats.Msg) {
		must(t, m.RespondMsg(&nats.Msg{Header: nats.Header{"Nats-Trace-Dest": {"answer.trace"}}, Data: []byte("x")}))
	})
	must(t, err)
	must(t, answers.Flush())
	reaches(t, watches, answers, "ready.answers")
	reaches(t, answers, watches, "ready.watches")
	m, err := asks.Request("open.answer", nil, time.Minute)
	must(t, err)
	if dest := m.Header.Get("Nats-Trace-Dest"); dest != "trace disabled" {
		t.Errorf("who asked is told that the events go to %q", dest)
	}
	all := tracesOf(t, events, "answering")
	for i := range all {
		all[i] = regexp.MustCompile(`_INBOX\.[\w.]+`).ReplaceAllString(all[i], "_INBOX")
	}
	return all
}

// tracesOf returns all events of one message: each says how many others there are.
func tracesOf(t *testing.T, sub *nats.Subscription, first string) (out []string) {
	t.Helper()
	expected, origin := 1, false
	for !origin || len(out) < expected {
		m, err := sub.NextMsg(time.Minute)
		must(t, err)
		text, hops := maskHop(t, m.Data)
		expected += hops
		origin = origin || strings.HasPrefix(text, first)
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

var answerSubject = regexp.MustCompile(`_R_\.\w{6}\.\w{6,8}`)

// maskHop is what does not depend on the server of an event, in an order of its
// own, and to how many others the message went.
func maskHop(t *testing.T, data []byte) (text string, hops int) {
	t.Helper()
	var e struct {
		Server  struct{ Name string }
		Request struct{ Header map[string][]string }
		Hops    int
		Events  []map[string]any
	}
	must(t, json.Unmarshal(data, &e))
	var lines []string
	for _, v := range e.Events {
		delete(v, "ts")
		delete(v, "cid")
		line, err := json.Marshal(v)
		must(t, err)
		lines = append(lines, string(line))
	}
	slices.Sort(lines)
	delete(e.Request.Header, "Nats-Request-Info")
	text = fmt.Sprintf("%s: %v, %d hops\n%s", e.Server.Name, e.Request.Header, e.Hops, strings.Join(lines, "\n"))
	return answerSubject.ReplaceAllString(text, "_R_"), e.Hops
}

// What a trace says of a subject that is drawn by weight is where the message went.
func TestATraceTellsTheSubjectThatWasDrawn(t *testing.T) {
	b := coveyFile(t, "listen: \"127.0.0.1:-1\"\n"+strings.Replace(traceRouteConf, `far: "open.mapped"`,
		`far: [ {destination: "open.one", weight: 50%}, {destination: "open.two", weight: 50%} ]`, 1))
	asker, of := dialAs(t, b, "a"), dialAs(t, b, "b")
	traces, err := asker.SubscribeSync("my.trace")
	must(t, err)
	got, err := of.SubscribeSync("open.*")
	must(t, err)
	must(t, of.Flush())
	for range 30 {
		must(t, asker.PublishMsg(&nats.Msg{Subject: "near", Header: nats.Header{"Nats-Trace-Dest": {"my.trace"}}}))
		m, err := got.NextMsg(time.Minute)
		must(t, err)
		e, err := traces.NextMsg(time.Minute)
		must(t, err)
		if !strings.Contains(string(e.Data), fmt.Sprintf(`"to":%q`, m.Subject)) {
			t.Fatalf("the message went to %s, its trace says %s", m.Subject, e.Data)
		}
	}
}
