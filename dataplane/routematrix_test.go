package dataplane_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
)

// Every combination of pool, compression, TLS and authorization stands with a
// nats-server that accepts, with one that solicits, and among ours, and carries
// messages both ways.
func TestRoutesInEveryCombination(t *testing.T) {
	ca := securetest.NewAuthority(t)
	pair := ca.Server(t)
	encrypted := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, timeout: 5 }", pair.CertFile, pair.KeyFile, ca.CAFile)
	for _, pool := range []string{"pool_size: -1", "pool_size: 1", "pool_size: 5"} {
		for _, compression := range []string{"compression: off", "compression: s2_better", "compression: s2_auto"} {
			for name, tls := range map[string]string{"clear": "", "TLS": encrypted} {
				t.Run(strings.Join([]string{pool, compression, name}, ", "), func(t *testing.T) {
					t.Parallel()
					block := pool + "\n" + compression + "\n" + tls
					either(t, block, block, func(t *testing.T, a, b member) {
						meshed(t, a, b)
						carries(t, a, b)
						carries(t, b, a)
					})
				})
			}
		}
	}
}

// shown is a member whose URL for routes has a user and a password.
type shown struct {
	member
	user string
}

func (s shown) RouteURL() string {
	return strings.Replace(s.member.RouteURL(), "://", "://"+s.user+":secret@", 1)
}

// Who solicits must show what the other side wants, whichever of them is which.
func TestRoutesAuthorize(t *testing.T) {
	block := "authorization { user: route, password: secret, timeout: 2 }"
	for name, start := range map[string][2]func(*testing.T, string) member{
		"soliciting": {anyStock, anyCovey}, "accepting": {anyCovey, anyStock}, "among ours": {anyCovey, anyCovey},
	} {
		t.Run(name, func(t *testing.T) {
			accepts := start[0](t, clustered(block))
			solicits := start[1](t, clustered(block, shown{accepts, "route"}))
			meshed(t, accepts, solicits)
			carries(t, accepts, solicits)
			stranger := start[1](t, clustered("", shown{accepts, "other"}))
			eventually(t, "a refusal", func() bool {
				if b, ours := accepts.(*running); ours {
					return b.log.says("wrong user or password")
				}
				b, _ := stranger.(*running)
				return b.log.says("route ended")
			})
			// nats-server counts a route until it hears that it may not be.
			eventually(t, "who shows the wrong user has no routes", func() bool { return routesOf(t, stranger) == 0 })
		})
	}
}

func anyStock(t *testing.T, conf string) member { t.Helper(); return stockFile(t, conf) }
func anyCovey(t *testing.T, conf string) member { t.Helper(); return coveyFile(t, conf) }

func routesOf(t *testing.T, m member) int {
	t.Helper()
	if b, ours := m.(*running); ours {
		return len(routez(t, b).Routes)
	}
	s, _ := m.(stockServer)
	return s.NumRoutes()
}
