package dataplane_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// An operator's accounts share over routes whatever connections carry them: the
// exporter's a route of its own, the importer's one of pools of different sizes. The
// first request of a new client is answered, so it never comes before the interest in
// its answer.
func TestOperatorsAccountsShareOverDifferentPools(t *testing.T) {
	op := operatortest.New(t)
	system, from, to := op.Account("SYS"), op.Account("from"), op.Account("to")
	from.Claims.Exports.Add(
		&jwt.Export{Subject: "news.>", Type: jwt.Stream},
		&jwt.Export{Subject: "ask.*", Type: jwt.Service, Latency: &jwt.ServiceLatency{Sampling: 100, Results: "latency"}},
	)
	to.Claims.Imports.Add(
		&jwt.Import{Account: from.Key, Subject: "news.>", LocalSubject: "from.news.>", Type: jwt.Stream},
		&jwt.Import{Account: from.Key, Subject: "ask.*", LocalSubject: "my.*", Type: jwt.Service, Share: true},
	)
	p, c := from.User("p", nil), to.User("c", nil)
	block := func(pool int) string {
		return fmt.Sprintf("pool_size: %d\naccounts: [%s]\n}\noperator: %s\nresolver: MEMORY\nresolver_preload { %s: %s, %s: %s, %s: %s", pool, from.Key,
			op.WithSystem(system.Key), system.Key, system.Token(), from.Key, from.Token(), to.Key, to.Token())
	}
	ours, theirs := block(5), block(2)
	either(t, ours, theirs, func(t *testing.T, a, b member) {
		by := func(m member, u *operatortest.User) *nats.Conn {
			return dialURL(t, m, nats.UserJWTAndSeed(u.Token, u.Seed()))
		}
		for _, at := range [][2]member{{a, b}, {b, a}} {
			exporter, importer := by(at[0], p), by(at[1], c)
			events, err := exporter.SubscribeSync("latency")
			must(t, err)
			_, err = exporter.QueueSubscribe("ask.*", "workers", func(m *nats.Msg) { _ = m.Respond(append([]byte(m.Subject+" "), m.Data...)) })
			must(t, err)
			news, err := importer.SubscribeSync("from.news.>")
			must(t, err)
			must(t, importer.Flush())
			must(t, exporter.Flush())
			eventually(t, "an answer from the other broker", func() bool {
				_, err := importer.Request("my.ready", nil, time.Second)
				return err == nil
			})
			eventually(t, "news from the other broker", func() bool {
				must(t, exporter.Publish("news.a", nil))
				_, err := news.NextMsg(50 * time.Millisecond)
				return err == nil
			})
			big := strings.Repeat("x", 200<<10)
			for i := range 20 {
				nc := by(at[1], c)
				r, err := nc.RequestMsg(&nats.Msg{Subject: fmt.Sprintf("my.%d", i), Data: []byte(big), Header: nats.Header{"K": {"v"}}}, time.Minute)
				must(t, err)
				if want := fmt.Sprintf("ask.%d %s", i, big); string(r.Data) != want {
					t.Errorf("the answer is %.40q of %d bytes", r.Data, len(r.Data))
				}
				nc.Close()
			}
			eventually(t, "a latency with both halves", func() bool {
				m, err := events.NextMsg(time.Second)
				var l struct{ Requestor, Responder struct{ Acc, User string } }
				return err == nil && json.Unmarshal(m.Data, &l) == nil && l.Requestor.User == c.Key && l.Responder.User == p.Key && l.Responder.Acc == from.Key
			})
			exporter.Close()
			importer.Close()
		}
	})
}
