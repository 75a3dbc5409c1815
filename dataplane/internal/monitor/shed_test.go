package monitor_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// What limits keep out is told for each account, and of an account without such
// nothing more than nats-server tells.
func TestAccountsTellWhatLimitsKeptOut(t *testing.T) {
	s := ours(t, `
accounts {
  A {
    covey { msgs_in: "1/3/refuse", subscriptions: 1, user_connections: 2 }
    users: [ {user: a, password: a} ]
  }
  O { covey { msgs_out: "1/2/refuse" }, users: [ {user: o, password: o} ] }
  B { users: [ {user: b, password: b} ] }
}`)
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	a, o := s.connect(t, "a", nats.UserInfo("a", "a"), quiet), s.connect(t, "o", nats.UserInfo("o", "o"), quiet)
	s.connect(t, "a2", nats.UserInfo("a", "a"))
	s.connect(t, "b", nats.UserInfo("b", "b"))
	if nc, err := natsConnect(a.ConnectedUrl(), nats.UserInfo("a", "a"), nats.Timeout(10*time.Second)); err == nil {
		nc.Close()
		t.Error("one connection too many")
	}
	for range 2 {
		_, err := a.SubscribeSync("x")
		must(t, err)
	}
	_, err := o.SubscribeSync("x")
	must(t, err)
	for _, nc := range []*nats.Conn{a, o} {
		for range 5 {
			must(t, nc.Publish("x", []byte("four")))
		}
		must(t, nc.Flush())
	}
	got := map[string]any{}
	for _, stat := range s.list(t, "/accstatz", "account_statz") {
		got[stat["acc"].(string)] = stat["covey"]
	}
	counts := func(msgs, bytes float64) map[string]any { return map[string]any{"msgs": msgs, "bytes": bytes} }
	want := map[string]any{
		"A": map[string]any{"refused": counts(2, 8), "dropped": counts(0, 0), "refused_subscriptions": 1.0, "refused_connections": 1.0},
		"O": map[string]any{"refused": counts(0, 0), "dropped": counts(3, 12), "refused_subscriptions": 0.0, "refused_connections": 0.0},
		"B": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
