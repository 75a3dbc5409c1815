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
  A { %[1]s users: [{user: A, password: A}] }
  A2 { %[1]s users: [{user: A2, password: A2}] }
  A3 { %[1]s users: [{user: A3, password: A3}] }
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

// crew is what an account has at each of some brokers: a publisher and a subscriber.
type crew struct {
	account string
	brokers []*running
	pubs    []*nats.Conn
	subs    []*nats.Conn
	got     []*nats.Subscription
	since   time.Time
}

// newCrew returns when all have the same part of the account's rates.
func newCrew(t *testing.T, brokers []*running, account string) *crew {
	t.Helper()
	c := &crew{account: account, brokers: brokers, since: time.Now()}
	as := nats.UserInfo(account, account)
	for i, b := range brokers {
		c.pubs, c.subs = append(c.pubs, dialURL(t, b, as)), append(c.subs, dialURL(t, b, as))
		sub, err := c.subs[i].SubscribeSync(fmt.Sprintf("from.%d", i))
		must(t, err)
		must(t, c.subs[i].Flush())
		c.got = append(c.got, sub)
	}
	eventually(t, "nobody asks, and all have the same", func() bool {
		for _, b := range brokers {
			for _, part := range b.Parts(account) {
				if part != limit.Whole/int64(len(brokers)) {
					return false
				}
			}
		}
		return true
	})
	return c
}

// spends publishes a burst at each broker and returns how much is admitted, and
// whether it is the burst once and what the rate of one a second has given since.
// Brokers that are asked later may have given theirs up for the first one by then.
func (c *crew) spends(t *testing.T, burst int) (admitted int, fits bool) {
	t.Helper()
	for i, nc := range c.pubs {
		for range burst {
			must(t, nc.Publish(fmt.Sprintf("from.%d", i), nil))
		}
		must(t, nc.Flush())
		must(t, c.subs[i].Flush())
		count, _, err := c.got[i].Pending()
		must(t, err)
		admitted += count
	}
	most := burst + int(time.Since(c.since)/time.Second) + len(c.brokers)
	return admitted, admitted <= most && admitted >= burst/len(c.brokers)
}

func ratesTogether(t *testing.T, brokers []*running, burst int) {
	t.Helper()
	c := newCrew(t, brokers, "A")
	// Clients in the system account may not say what brokers tell each other: over a
	// route nobody could tell who said it.
	forger := dialURL(t, brokers[0], nats.UserInfo("s", "s"))
	for i := range brokers {
		must(t, forger.Publish("$SYS.COVEY.RATES", fmt.Appendf(nil, `{"server_id":%q,"accounts":[{"account":"A","gone":true}]}`, c.pubs[i].ConnectedServerId())))
	}
	must(t, forger.Flush())
	eventually(t, "the forger is told", func() bool {
		return strings.Contains(fmt.Sprint(forger.LastError()), `Permissions Violation for Publish to "$SYS.COVEY.RATES"`)
	})
	if brokers[0].log.says("what is said of accounts' rates makes no sense") {
		t.Error("what a client said of rates was heard")
	}
	admitted, fits := c.spends(t, burst)
	// On a busy machine words may take longer than the tick in which they must reach
	// the others, and two brokers have the same part for a moment; not each time.
	for _, other := range []string{"A2", "A3"} {
		if !fits {
			t.Logf("%d were admitted of a burst of %d at %d brokers", admitted, burst, len(brokers))
			admitted, fits = newCrew(t, brokers, other).spends(t, burst)
		}
	}
	if !fits {
		t.Errorf("%d were admitted of a burst of %d at %d brokers", admitted, burst, len(brokers))
	}
	whoIsLeftHasAll(t, c)
}

// whoIsLeftHasAll lets the others' clients go, one of them come back, and its
// broker go.
func whoIsLeftHasAll(t *testing.T, c *crew) {
	t.Helper()
	brokers := c.brokers
	for i := range brokers[1:] {
		c.pubs[i+1].Close()
		c.subs[i+1].Close()
	}
	eventually(t, "who is left has all", func() bool {
		for _, part := range brokers[0].Parts(c.account) {
			if part != limit.Whole {
				return false
			}
		}
		return true
	})
	dialURL(t, brokers[1], nats.UserInfo(c.account, c.account), nats.IgnoreDiscoveredServers())
	eventually(t, "who comes back has a part again", func() bool {
		return brokers[1].Parts(c.account)[1] == limit.Whole/2 && brokers[0].Parts(c.account)[1] == limit.Whole/2
	})
	brokers[1].stop()
	eventually(t, "who is left behind has all", func() bool { return brokers[0].Parts(c.account)[0] == limit.Whole })
}
