package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// What a request to a service costs is measured by the node of who asks and that of
// who answers together, whichever of ours, a current nats-server and one of 2.10
// they are.
func TestLatencyInAMixedMesh(t *testing.T) {
	nodes := clusterOf(t, 3, `accounts {
  P { users: [ {user: p, password: p} ], exports: [ {service: "timed.*", latency: "latency"} ] }
  C { users: [ {user: c, password: c} ], imports: [ {service: {account: P, subject: "timed.*"}, share: true} ] }
}`)
	for i, name := range []string{"covey-broker", "nats-server", "nats-server-2.10"} {
		nodes[i].run(name)
	}
	for _, n := range nodes {
		n.knows(2)
	}
	connect := func(n *node, user string) *nats.Conn {
		nc, err := nats.Connect(n.url, nats.UserInfo(user, user), nats.Timeout(patience))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	for i := range nodes {
		for j := range nodes {
			asks, answers := connect(nodes[i], "c"), connect(nodes[j], "p")
			events := subscribe(t, connect(nodes[i], "p"), "latency", "")
			subject := fmt.Sprintf("timed.%d-%d", i, j)
			if _, err := answers.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
				t.Fatal(err)
			}
			flush(t, answers)
			want := fmt.Sprintf("node-%d asks node-%d", i, j)
			// The first ones may be asked before the nodes know each other's interest.
			eventually(t, want, func() bool {
				if _, err := asks.Request(subject, nil, time.Second); err != nil {
					return false
				}
				m, err := events.NextMsg(time.Second)
				return err == nil && parties(t, m) == want
			})
			if err := events.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// parties is who an event about a request names.
func parties(t *testing.T, m *nats.Msg) string {
	t.Helper()
	var l struct {
		Requestor, Responder struct{ Server string }
	}
	if err := json.Unmarshal(m.Data, &l); err != nil {
		t.Fatal(err)
	}
	return l.Requestor.Server + " asks " + l.Responder.Server
}
