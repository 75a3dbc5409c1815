package dataplane_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// What accounts share changes with the file, for those who are connected and
// subscribed: the same steps with a nats-server and with ours.
func TestSharingReloadsForThoseConnected(t *testing.T) {
	conf := func(exports, imports string) string {
		return fmt.Sprintf(`listen: "127.0.0.1:-1"
accounts {
  P { users: [ {user: p, password: p} ], exports: [ %s ] }
  C { users: [ {user: c, password: p} ], imports: [ %s ] }
}`, exports, imports)
	}
	const all = `{stream: "news.>"}, {service: "ask.*"}`
	steps := []struct{ what, exports, imports string }{
		{"nothing imported", all, ``},
		{"added", all, `{stream: {account: P, subject: "news.>"}}, {service: {account: P, subject: "ask.*"}}`},
		{"under other names", all, `{stream: {account: P, subject: "news.>"}, prefix: from}, {service: {account: P, subject: "ask.a"}, to: "my.a"}`},
		{"not exported to it", `{stream: "news.>", accounts: [P]}, {service: "ask.*"}`, `{service: {account: P, subject: "ask.*"}}`},
		{"the stream alone", all, `{stream: {account: P, subject: "news.>"}}`},
		{"removed", all, ``},
	}
	ours := func(t *testing.T, text string) changeable {
		t.Helper()
		b := coveyFile(t, text)
		return changeable{b, func(t *testing.T, text string) error {
			t.Helper()
			return b.Reload(&loadText(t, text).Access, nil)
		}}
	}
	got := map[string][]string{}
	for name, start := range map[string]func(*testing.T, string) changeable{"ours": ours, "nats-server": changeableStock} {
		s := start(t, conf(steps[0].exports, steps[0].imports))
		p, c := dialAs(t, s, "p"), dialAs(t, s, "c")
		var heard []*nats.Subscription
		for _, subject := range []string{"news.*", "from.news.*"} {
			sub, err := c.SubscribeSync(subject)
			must(t, err)
			heard = append(heard, sub)
		}
		_, err := p.Subscribe("ask.*", func(m *nats.Msg) { _ = m.Respond([]byte(m.Subject)) })
		must(t, err)
		must(t, p.Flush())
		must(t, c.Flush())
		for i, step := range steps {
			if i > 0 {
				must(t, s.reload(t, conf(step.exports, step.imports)))
			}
			got[name] = append(got[name], step.what+": "+shared(t, p, c, heard))
		}
		if p.Stats().Reconnects+c.Stats().Reconnects > 0 {
			t.Errorf("%s ended connections", name)
		}
	}
	if diff := cmp.Diff(got["nats-server"], got["ours"]); diff != "" {
		t.Errorf("nats-server (-) and ours (+):\n%s", diff)
	}
}

// shared says what comes from one account to the other and back.
func shared(t *testing.T, p, c *nats.Conn, heard []*nats.Subscription) string {
	t.Helper()
	must(t, p.Publish("news.a", []byte("x")))
	must(t, p.Flush())
	must(t, c.Flush())
	var out []string
	for _, sub := range heard {
		for m, err := sub.NextMsg(10 * time.Millisecond); err == nil; m, err = sub.NextMsg(10 * time.Millisecond) {
			out = append(out, m.Subject)
		}
	}
	for _, subject := range []string{"ask.a", "my.a"} {
		m, err := c.Request(subject, nil, 10*time.Second)
		if err != nil {
			out = append(out, subject+" "+err.Error())
			continue
		}
		out = append(out, subject+" "+string(m.Data))
	}
	return strings.Join(out, ", ")
}
