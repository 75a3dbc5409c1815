package fleet_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane/fleettest"
	"github.com/coveymq/covey/controlplane/internal/fleet"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const claimsPrefix = "/covey/v1/claims/"

// newAccounts puts claims of n accounts, whose text is no JWT: the control plane
// does not read it.
func newAccounts(t *testing.T, cp *fleettest.ControlPlane, n int) (keys []string, held []*fleetv1.HeldAccount) {
	t.Helper()
	for range n {
		pair, err := nkeys.CreateAccount()
		if err != nil {
			t.Fatal(err)
		}
		key, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	revision := changeAll(t, cp, keys, "first", func() {})
	for _, key := range keys {
		held = append(held, &fleetv1.HeldAccount{AccountPublicKey: key, Revision: revision[key]})
	}
	return keys, held
}

// changeAll changes each account once, a hundred at a time, and returns the
// revisions of the changes. In between it calls beat.
func changeAll(t *testing.T, cp *fleettest.ControlPlane, keys []string, text string, beat func()) map[string]int64 {
	t.Helper()
	at := make(map[string]int64, len(keys))
	for len(keys) > 0 {
		n := min(len(keys), 100)
		var ops []clientv3.Op
		for _, key := range keys[:n] {
			ops = append(ops, clientv3.OpPut(claimsPrefix+key, text))
		}
		done, err := cp.Etcd.Txn(t.Context()).Then(ops...).Commit()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys[:n] {
			at[key] = done.Header.GetRevision()
		}
		keys = keys[n:]
		beat()
	}
	return at
}

func heartbeat() *fleetv1.AttendRequest {
	return &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Heartbeat{Heartbeat: &fleetv1.Heartbeat{}}}
}

// Changes that come faster than 10,000 a minute reach a broker as so many
// deliveries a second and no more, each with the latest of every account; it
// ends up with all of them, and its acknowledgement counts for all.
func TestFastChangesAreMerged(t *testing.T) {
	const changes, accounts = 3000, 50
	cp := fleettest.StartLeased(t, time.Minute)
	keys, held := newAccounts(t, cp, accounts)
	stream, _, _ := enrol(t, cp).attend(t, held...)
	last := make(map[string]int64)
	began := time.Now()
	var final int64
	done := make(chan error, 1)
	var putting sync.WaitGroup
	putting.Go(func() {
		for i := range changes {
			key := keys[i%accounts]
			r, err := cp.Etcd.Put(t.Context(), claimsPrefix+key, fmt.Sprint(i))
			if err != nil {
				done <- err
				return
			}
			last[key], final = r.Header.GetRevision(), r.Header.GetRevision()
		}
		done <- nil
	})
	defer putting.Wait()
	got := make(map[string]int64)
	deliveries, claims, finished := 0, 0, false
	for watermark := int64(0); !finished || watermark < final; {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if c := m.GetAccountClaims(); c != nil {
			claims++
			got[c.GetAccountPublicKey()] = c.GetRevision()
		}
		if w := m.GetWatermark(); w != nil {
			deliveries++
			watermark = w.GetRevision()
			send(t, stream, acknowledge(watermark))
			send(t, stream, heartbeat())
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			finished = true
		default:
		}
	}
	most := int(time.Since(began)/fleet.DeliverEvery) + 2
	if deliveries > most || claims > most*accounts {
		t.Errorf("%d deliveries of %d claims, want at most %d", deliveries, claims, most)
	}
	for key, want := range last {
		if got[key] != want {
			t.Errorf("%s is at %d, want %d", key, got[key], want)
		}
	}
	fleettest.Await(t, "acknowledged", func() bool { return cp.Progress(final)[0].Acknowledged })
	t.Logf("%d changes in %v: %d deliveries of %d claims", changes, time.Since(began), deliveries, claims)
}

// A broker that does not read while more accounts change than its queue holds is
// told once what it has missed, and others are not held up by it.
func TestABrokerThatLagsIsToldOnceWhatItMissed(t *testing.T) {
	const rounds, accounts = 3, fleet.PendingMax + 1000
	cp := fleettest.StartLeased(t, time.Minute)
	keys, held := newAccounts(t, cp, accounts)
	slow, _, _ := enrol(t, cp).attend(t, held...)
	other, _, _ := enrol(t, cp).attend(t, held[:1]...)
	var last map[string]int64
	var final int64
	for i := range rounds {
		last = changeAll(t, cp, keys, fmt.Sprint("round ", i), func() {
			send(t, slow, heartbeat())
			send(t, other, heartbeat())
		})
		for _, revision := range last {
			final = max(final, revision)
		}
		_, watermark := untilWatermark(t, other, final) // though nobody reads the other stream
		send(t, other, acknowledge(watermark))
	}
	claims, _ := untilWatermark(t, slow, final)
	if len(claims) > 2*accounts {
		t.Errorf("%d claims for %d accounts that changed %d times: what was missed came again and again", len(claims), accounts, rounds)
	}
	got := make(map[string]int64)
	for _, c := range claims {
		got[c.GetAccountPublicKey()] = c.GetRevision()
	}
	for key, want := range last {
		if got[key] != want {
			t.Fatalf("%s is at %d, want %d", key, got[key], want)
		}
	}
}
