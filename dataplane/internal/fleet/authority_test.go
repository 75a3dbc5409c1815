package fleet_test

import (
	"testing"

	"github.com/coveymq/covey/controlplane/fleettest"
	"github.com/coveymq/covey/dataplane/internal/fleet"
)

// authorities is what the control plane knows that a broker trusts.
func authorities(cp *fleettest.ControlPlane, b *broker) []string {
	p := cp.Progress(0)
	if i := indexOf(p, b.BrokerID()); i >= 0 {
		return p[i].Authorities
	}
	return nil
}

// A broker that was away while another authority took over comes back and follows,
// also over a restart of the control plane; one that was away until the old one
// was retired does not.
func TestABrokerThatWasAwayFollowsTheAuthority(t *testing.T) {
	cp := fleettest.Start(t)
	here, slept, lost := join(t, cp), join(t, cp), join(t, cp)
	slept.stop()
	lost.stop()
	serial := here.CertificateSerial()
	old := cp.StageAuthority()
	fleettest.Await(t, "the broker trusts both", func() bool { a := authorities(cp, here); return len(a) == 2 && a[0] == old })
	cp.ActivateAuthority()
	fleettest.Await(t, "the new one signed for the broker", func() bool { a := authorities(cp, here); return len(a) == 2 && a[1] == old })
	if here.CertificateSerial().Cmp(serial) == 0 {
		t.Error("the certificate is the same")
	}
	if here.sink.isOffline() {
		t.Error("the broker lost its session")
	}

	back := start(t, restarted(slept.cfg))
	fleettest.Await(t, "who was away follows", func() bool { a := authorities(cp, back); return len(a) == 2 && a[1] == old })
	cp.Down()
	cp.Up()
	for _, b := range []*broker{here, back} {
		_, revision := cp.PutAccount(cp.NewAccount(), "after the restart")
		fleettest.Await(t, "attends after the restart", func() bool {
			p := cp.Progress(revision)
			i := indexOf(p, b.BrokerID())
			return i >= 0 && p[i].Leased && p[i].Acknowledged
		})
	}
	cp.RetireAuthority(old)
	for _, b := range []*broker{here, back} {
		fleettest.Await(t, "the old one is forgotten", func() bool { a := authorities(cp, b); return len(a) == 1 && a[0] != old })
	}
	gone := start(t, restarted(lost.cfg))
	fleettest.Await(t, "who missed it all is refused", gone.sink.isOffline)

	// A join token from before counts as one of this fleet where it was used.
	back.stop()
	again := start(t, restarted(slept.cfg))
	again.awaitLease(cp)
	if again.BrokerID() != slept.BrokerID() {
		t.Error("the broker enrolled anew")
	}
	gone.stop()
	cfg := restarted(lost.cfg)
	cfg.JoinToken = fleet.JoinToken(cp.JoinToken())
	start(t, cfg).awaitLease(cp)
}
