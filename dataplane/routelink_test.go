package dataplane_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// What two brokers tell each other of an account, and its messages in both
// directions, go over one connection, however many each of them has: a request
// must not overtake the interest in its answer. Each request here is the first
// message after the interest in an inbox of its own.
func TestRequestsStayBehindTheInterestInTheirAnswers(t *testing.T) {
	const accounts, requests = 5, 40
	var all []string
	for i := range accounts {
		all = append(all, fmt.Sprintf("A%d { users: [{user: a%d, password: a}] }", i, i))
	}
	text := "\naccounts { " + strings.Join(all, ", ") + " }"
	check := func(t *testing.T, from, to member) {
		t.Helper()
		for i := range accounts {
			as := nats.UserInfo(fmt.Sprintf("a%d", i), "a")
			_, err := dialURL(t, to, as).Subscribe("svc", func(m *nats.Msg) { _ = m.Respond(nil) })
			must(t, err)
			nc := dialURL(t, from, as, nats.UseOldRequestStyle())
			interested(t, nc, "svc")
			for range requests {
				if _, err := nc.Request("svc", nil, time.Minute); err != nil {
					t.Fatalf("a request in account %d: %v", i, err)
				}
			}
		}
	}
	peers := map[string]func(*testing.T, string) member{
		"with nats-server": func(t *testing.T, conf string) member { t.Helper(); return stockFile(t, conf) },
		"among ours":       func(t *testing.T, conf string) member { t.Helper(); return coveyFile(t, conf) },
	}
	for name, start := range peers {
		for _, size := range [][2]int{{5, 3}, {2, 4}, {3, 3}} {
			t.Run(fmt.Sprintf("%s/%d and %d", name, size[0], size[1]), func(t *testing.T) {
				theirs := start(t, clustered(fmt.Sprintf("pool_size: %d", size[1]))+text)
				ours := coveyFile(t, clustered(fmt.Sprintf("pool_size: %d", size[0]), theirs)+text)
				check(t, theirs, ours)
				check(t, ours, theirs)
			})
		}
	}
}
