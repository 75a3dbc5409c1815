package dataplane_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane/internal/limit"
)

// What an account may publish it may publish at all brokers of a cluster together,
// with a nats-server among them, too; and who is alone may have all of it.
func TestRatesHoldInTheWholeCluster(t *testing.T) {
	const burst = 900
	accounts := func(limits string) string {
		return fmt.Sprintf(`
accounts {
  A { %s users: [{user: a, password: a}] }
  B { users: [{user: b, password: b}] }
  SYS { users: [{user: s, password: s}] }
}
system_account: SYS, no_auth_user: b`, limits)
	}
	limited := accounts(fmt.Sprintf(`covey { msgs_in: "1/%d/refuse", subscribes: 1000000 },`, burst))
	for _, c := range []struct {
		n     int
		mixed bool
	}{{2, false}, {3, false}, {2, true}} {
		t.Run(fmt.Sprintf("%d brokers, nats-server among them: %v", c.n, c.mixed), func(t *testing.T) {
			var brokers []*running
			var all []member
			if c.mixed {
				all = append(all, stockFile(t, clustered("")+accounts("")))
			}
			for range c.n {
				b := coveyFile(t, clustered("", all...)+limited)
				brokers, all = append(brokers, b), append(all, b)
			}
			meshed(t, all...)
			eventually(t, "brokers know each other", func() bool {
				for _, b := range brokers {
					if b.Peers() < len(all)-1 {
						return false
					}
				}
				return true
			})
			ratesTogether(t, brokers, burst)
		})
	}
}

func ratesTogether(t *testing.T, brokers []*running, burst int) {
	t.Helper()
	as := nats.UserInfo("a", "a")
	n := int64(len(brokers))
	var pubs, subs []*nats.Conn
	var got []*nats.Subscription
	since := time.Now()
	for i, b := range brokers {
		pubs, subs = append(pubs, dialURL(t, b, as)), append(subs, dialURL(t, b, as))
		sub, err := subs[i].SubscribeSync(fmt.Sprintf("from.%d", i))
		must(t, err)
		got = append(got, sub)
	}
	even := func() bool {
		for _, b := range brokers {
			for _, part := range b.Parts("A") {
				if part != limit.Whole/n {
					return false
				}
			}
		}
		return true
	}
	eventually(t, "nobody asks, and all have the same", even)
	// Clients in the system account may not say what brokers tell each other: over a
	// route nobody could tell who said it.
	forger := dialURL(t, brokers[0], nats.UserInfo("s", "s"))
	for i := range brokers {
		must(t, forger.Publish("$SYS.COVEY.RATES", fmt.Appendf(nil, `{"server_id":%q,"accounts":[{"account":"A","gone":true}]}`, pubs[i].ConnectedServerId())))
	}
	must(t, forger.Flush())
	eventually(t, "the forger is told", func() bool {
		return strings.Contains(fmt.Sprint(forger.LastError()), `Permissions Violation for Publish to "$SYS.COVEY.RATES"`)
	})
	if brokers[0].log.says("what is said of accounts' rates makes no sense") {
		t.Error("what a client said of rates was heard")
	}
	admitted := 0
	for i, nc := range pubs {
		for range burst {
			must(t, nc.Publish(fmt.Sprintf("from.%d", i), nil))
		}
		must(t, nc.Flush())
		must(t, subs[i].Flush())
		count, _, err := got[i].Pending()
		must(t, err)
		admitted += count
	}
	// The burst once, and what the rate of one a second has given since. Brokers that
	// are asked later may have given theirs up for the first one by then.
	if most := burst + int(time.Since(since)/time.Second) + len(brokers); admitted > most || admitted < burst/len(brokers) {
		t.Errorf("%d were admitted of a burst of %d at %d brokers", admitted, burst, len(brokers))
	}
	for i := range brokers[1:] {
		pubs[i+1].Close()
		subs[i+1].Close()
	}
	eventually(t, "who is left has all", func() bool {
		for _, part := range brokers[0].Parts("A") {
			if part != limit.Whole {
				return false
			}
		}
		return true
	})
	dialURL(t, brokers[1], as, nats.IgnoreDiscoveredServers())
	eventually(t, "who comes back has a part again", func() bool {
		return brokers[1].Parts("A")[1] == limit.Whole/2 && brokers[0].Parts("A")[1] == limit.Whole/2
	})
	brokers[1].stop()
	eventually(t, "who is left behind has all", func() bool { return brokers[0].Parts("A")[0] == limit.Whole })
}
