package fleet_test

import (
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/fleettest"
	"github.com/coveymq/covey/dataplane/internal/seen"
)

// A control plane that knows nothing of sightings, as older ones do, would end the
// session of a broker that tells it of some.
func TestWhoDoesNotWantSightingsIsToldNone(t *testing.T) {
	cp := fleettest.Start(t)
	account := cp.NewAccount()
	cp.PutAccount(account, "orders")
	b := join(t, cp)
	b.load(account)
	if !b.TellSeen([]seen.Line{{Credential: seen.Credential{Account: account, User: "U", IssuedAt: 1}, At: time.Now()}}) {
		t.Fatal("the line was not taken")
	}
	_, revision := cp.PutAccount(account, "renamed") // what the broker says next comes after it
	awaitEnforced(t, cp, revision)
	if b.sink.isOffline() {
		t.Error("the session ended")
	}
}

// What cannot be told now must not get lost.
func TestSightingsWaitForASession(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	cp.Down()
	fleettest.Await(t, "the broker is offline", b.sink.isOffline)
	if b.TellSeen([]seen.Line{{Credential: seen.Credential{Account: "A", User: "U", IssuedAt: 1}, At: time.Now()}}) {
		t.Error("it was told to nobody")
	}
}
