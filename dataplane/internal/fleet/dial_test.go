package fleet_test

import (
	"testing"

	"github.com/coveymq/covey/controlplane/fleettest"
	"github.com/coveymq/covey/dataplane/internal/fleet"
	"github.com/coveymq/covey/internal/testport"
)

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := testport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// A broker enrols and attends at whichever control plane answers, and goes to
// another one when its own is away.
func TestABrokerGoesToAnotherControlPlane(t *testing.T) {
	cp := fleettest.Start(t)
	first, second := cp.Addr, freeAddr(t)
	cfg := config(t, cp, t.TempDir())
	cfg.ControlPlaneAddr = second + ", " + first + "," + freeAddr(t)
	cfg.JoinToken = fleet.JoinToken(cp.JoinToken())
	b := start(t, cfg)
	b.awaitLease(cp)
	for _, addr := range []string{second, first} {
		cp.Down()
		cp.Addr = addr
		cp.Up()
		_, revision := cp.PutAccount(cp.NewAccount(), "after the move to "+addr)
		fleettest.Await(t, "acknowledged at "+addr, func() bool {
			p := cp.Progress(revision)
			return len(p) == 1 && p[0].Acknowledged
		})
	}
}
