package dataplane_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// With one connection for all accounts: while what account A sent across the route
// is still being delivered to hundreds of its subscribers, a request of account B
// is answered; and A gets everything, in order.
func TestFloodOfOneAccountDoesNotHoldUpAnother(t *testing.T) {
	if testing.Short() {
		t.Skip("a million deliveries take their time")
	}
	accounts := `
accounts { A { users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }`
	near := coveyFile(t, clustered("pool_size: -1")+accounts)
	far := coveyFile(t, clustered("pool_size: -1", near)+accounts)
	as := func(m member, user string) *nats.Conn { return dialURL(t, m, nats.UserInfo(user, user)) }

	const conns, each, messages = 4, 100, 2500
	const total = conns * each * messages
	var got, wrong atomic.Int64
	for range conns {
		nc := as(far, "a")
		for range each {
			last := -1
			sub, err := nc.Subscribe("flood", func(m *nats.Msg) {
				i, err := strconv.Atoi(string(m.Data[:8]))
				if err != nil || i != last+1 {
					wrong.Add(1)
				}
				last = i
				got.Add(1)
			})
			must(t, err)
			must(t, sub.SetPendingLimits(-1, -1))
		}
		must(t, nc.Flush())
	}
	_, err := as(far, "a").Subscribe("ready.a", func(m *nats.Msg) { _ = m.Respond(nil) })
	must(t, err)
	_, err = as(far, "b").Subscribe("ready.b", func(m *nats.Msg) { _ = m.Respond(nil) })
	must(t, err)
	a, b := as(near, "a"), as(near, "b")
	interested(t, a, "ready.a")
	interested(t, b, "ready.b")
	body := strings.Repeat("x", 100)
	for i := range messages {
		must(t, a.Publish("flood", fmt.Appendf(nil, "%08d%s", i, body)))
	}
	inbox := nats.NewInbox()
	own, err := a.SubscribeSync(inbox)
	must(t, err)
	must(t, a.PublishRequest("ready.a", inbox, nil))
	must(t, a.Flush())
	_, err = b.Request("ready.b", nil, 5*time.Minute)
	must(t, err)
	// A's own request is behind its flood, and on the wire it was before B's.
	if m, err := own.NextMsg(time.Nanosecond); err == nil {
		t.Fatalf("account A was answered first: %q", m.Data)
	}
	_, err = own.NextMsg(5 * time.Minute)
	must(t, err)
	deadline := time.After(5 * time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for got.Load() < total {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d of %d messages came", got.Load(), total)
		}
	}
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d messages were out of order", n)
	}
}
