package dataplane_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// The limit of an account's connections is the cluster's, with a nats-server in
// it, too: who is one too many is refused wherever it comes, and let in when
// somebody elsewhere has gone, with a farewell or without.
func TestConnectionsAreLimitedInTheWholeCluster(t *testing.T) {
	const limit = 6
	operator, operatorKey := keyOf(t, nkeys.CreateOperator)
	system, systemToken, _ := signedAccount(t, operator, nil)
	a, aToken, asA := signedAccount(t, operator, func(c *jwt.AccountClaims) { c.Limits.Conn = limit })
	claims := jwt.NewOperatorClaims(operatorKey)
	claims.SystemAccount = system
	token, err := claims.Encode(operator)
	must(t, err)
	common := fmt.Sprintf("\noperator: %s\nresolver: MEMORY\nresolver_preload { %s: %s\n %s: %s }\n", token, system, systemToken, a, aToken)

	first := coveyFile(t, clustered("")+common)
	second := coveyFile(t, clustered("", first)+common)
	other := stockFile(t, clustered("", first)+common)
	all := []member{first, second, other}
	enter := func(m member) (*nats.Conn, error) {
		return natsConnect(m.ClientURL(), asA, nats.NoReconnect(), nats.IgnoreDiscoveredServers())
	}
	var conns [3][]*nats.Conn
	for i, m := range all {
		for range limit / len(all) {
			nc, err := enter(m)
			must(t, err)
			t.Cleanup(nc.Close)
			conns[i] = append(conns[i], nc)
		}
	}
	connected := func(i int) (out []*nats.Conn) {
		for _, nc := range conns[i] {
			if nc.IsConnected() {
				out = append(out, nc)
			}
		}
		return out
	}
	// Until the members have heard of each other one too many may be let in, and
	// somebody else be shed for it; who was comes again.
	for i, m := range all {
		eventually(t, fmt.Sprintf("member %d is full", i), func() bool {
			for k, other := range all {
				for range limit/len(all) - len(connected(k)) {
					if nc, err := enter(other); err == nil {
						t.Cleanup(nc.Close)
						conns[k] = append(conns[k], nc)
					}
				}
			}
			nc, err := enter(m)
			if err == nil {
				nc.Close()
			}
			return err != nil
		})
	}
	leaver := connected(2)
	if len(leaver) == 0 {
		t.Fatal("the nats-server has no client left")
	}
	leaver[0].Close()
	eventually(t, "a free seat at the first", func() bool {
		nc, err := enter(first)
		if err == nil {
			conns[0] = append(conns[0], nc)
			t.Cleanup(nc.Close)
		}
		return err == nil
	})
	other.Shutdown()
	eventually(t, "the seats of a nats-server that left", func() bool {
		nc, err := enter(second)
		if err == nil {
			t.Cleanup(nc.Close)
		}
		return err == nil
	})
	second.stop()
	eventually(t, "the seats of a broker that left", func() bool {
		n := 0
		for _, nc := range conns[0] {
			if nc.IsConnected() {
				n++
			}
		}
		for ; n < limit; n++ {
			nc, err := enter(first)
			if err != nil {
				return false
			}
			conns[0] = append(conns[0], nc)
			t.Cleanup(nc.Close)
		}
		return true
	})
}
