package fleet_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/controlplane/fleettest"
	"github.com/coveymq/covey/dataplane/internal/fleet"
)

func TestLookupTellsUnknownFromKnown(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	account := cp.NewAccount()
	if _, _, err := b.Lookup(t.Context(), account); !errors.Is(err, fleet.ErrUnknownAccount) {
		t.Errorf("Lookup of an account that is not = %v, want ErrUnknownAccount", err)
	}
	if _, _, err := b.Lookup(t.Context(), "A/../../etc/passwd"); !errors.Is(err, fleet.ErrUnknownAccount) {
		t.Errorf("Lookup of nonsense = %v, want ErrUnknownAccount", err)
	}
	want, revision := cp.PutAccount(account, "acme")
	if text, got := b.load(account); text != want || got != revision {
		t.Errorf("Lookup = revision %d, want %d and the text as stored", got, revision)
	}
	want, revision = cp.PutAccount(account, "acme2")
	awaitEnforced(t, cp, revision)
	if text, got := b.load(account); text != want || got != revision {
		t.Errorf("Lookup after a change = revision %d, want %d", got, revision)
	}
}

func TestChangeIsEnforcedOnceApplied(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	account := cp.NewAccount()
	cp.PutAccount(account, "v1")
	b.load(account)

	gate := make(chan struct{})
	b.sink.set(func() { b.sink.gate = gate })
	_, revision := cp.PutAccount(account, "v2")
	_, other := cp.PutAccount(cp.NewAccount(), "somebody else")
	for _, r := range []int64{revision, other} {
		if enforced, done := isEnforced(cp, r); enforced || done {
			t.Errorf("revision %d enforced=%v done=%v before it was applied", r, enforced, done)
		}
	}
	close(gate)
	awaitEnforced(t, cp, other)
	if got := b.sink.revision(account); got != revision {
		t.Errorf("enforced, but the broker has revision %d, want %d", got, revision)
	}
	if _, done := isEnforced(cp, other); !done {
		t.Error("enforced everywhere, but not done")
	}

	deleted := cp.DeleteAccount(account)
	awaitEnforced(t, cp, deleted)
	if got := b.sink.revision(account); got != -1 {
		t.Errorf("account deleted, but the broker has revision %d", got)
	}
	if _, _, err := b.Lookup(t.Context(), account); !errors.Is(err, fleet.ErrUnknownAccount) {
		t.Errorf("Lookup of a deleted account = %v, want ErrUnknownAccount", err)
	}
}

func TestWhatIsNotInForceIsNotAcknowledged(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	account := cp.NewAccount()
	_, first := cp.PutAccount(account, "v1")
	b.load(account)

	stranger, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	forged := cp.PutClaims(account, fleettest.Sign(t, stranger, account, "forged"))
	b.sink.set(func() { b.sink.broken = errBroken })
	other := cp.NewAccount()
	cp.PutAccount(other, "o1")
	b.load(other)
	_, failing := cp.PutAccount(other, "o2")
	fleettest.Await(t, "stream has passed both", func() bool {
		_, _, err := b.Lookup(t.Context(), other)
		return err == nil
	})
	for _, r := range []int64{forged, failing} {
		if enforced, _ := isEnforced(cp, r); enforced {
			t.Errorf("revision %d acknowledged, though it is not in force", r)
		}
	}
	if got := b.sink.revision(account); got != first {
		t.Errorf("forged claims: the broker has revision %d, want %d", got, first)
	}
	_, good := cp.PutAccount(account, "v3")
	if enforced, _ := isEnforced(cp, good); enforced {
		t.Error("acknowledged beyond claims that cannot be applied")
	}
	b.sink.set(func() { b.sink.broken = nil })
	awaitEnforced(t, cp, good)
	if got := b.sink.revision(account); got != good {
		t.Errorf("the broker has revision %d, want %d", got, good)
	}
}

func TestNewOperatorSigningKeyTakesEffectInSession(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	account := cp.NewAccount()
	cp.PutAccount(account, "v1")
	b.load(account)
	signer, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := signer.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	revision := cp.PutClaims(account, fleettest.Sign(t, signer, account, "v2")) // the wrong way round
	cp.PutOperator(pub)
	awaitEnforced(t, cp, revision)
	if got := b.sink.revision(account); got != revision {
		t.Errorf("the broker has revision %d, want %d", got, revision)
	}
}

func TestSilentBrokerBlocksDoneNotEnforced(t *testing.T) {
	cp := fleettest.StartLeased(t, 5*time.Second) // longer than what is looked at before it ends takes
	b := join(t, cp)
	b.stop() // without goodbye
	_, revision := cp.PutAccount(cp.NewAccount(), "acme")
	if enforced, _ := isEnforced(cp, revision); enforced {
		t.Error("enforced while the lease of a broker that did not acknowledge lasts")
	}
	awaitEnforced(t, cp, revision)
	progress := cp.Progress(revision)
	if progress[0].Leased || progress[0].Exited {
		t.Errorf("broker = %+v, want neither leased nor exited", progress[0])
	}
	if _, done := fleettest.Summarise(progress, progress[0].ServeUntil.Add(-time.Second)); done {
		t.Error("done while a broker may serve the old state")
	}
	if _, done := fleettest.Summarise(progress, progress[0].ServeUntil); !done {
		t.Error("not done when the broker has stopped serving for certain")
	}
	if mine := b.ServeUntil(); mine.IsZero() || mine.After(progress[0].ServeUntil) {
		t.Errorf("the broker serves until %v, the control plane believes %v", mine, progress[0].ServeUntil)
	}
}

func TestGoodbyeIsProofOfExit(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	account := cp.NewAccount()
	cp.PutAccount(account, "v1")
	b.load(account)
	if err := b.Goodbye(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wg.Wait() // Run has returned by itself
	_, revision := cp.PutAccount(account, "v2")
	if enforced, done := isEnforced(cp, revision); !enforced || !done {
		t.Errorf("enforced=%v done=%v after goodbye, want both", enforced, done)
	}
	if p := cp.Progress(revision)[0]; !p.Exited || p.Leased {
		t.Errorf("broker = %+v, want exited and no lease", p)
	}
	b.stop()
	cp.Down()
	again := start(t, restarted(b.cfg))
	if _, _, err := again.Lookup(t.Context(), account); !errors.Is(err, fleet.ErrUnavailable) {
		t.Errorf("Lookup from the cache after goodbye = %v, want ErrUnavailable", err)
	}
}

func TestLookupFromTheCacheWhileTheControlPlaneIsAway(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	known, unloaded := cp.NewAccount(), cp.NewAccount()
	cp.PutAccount(known, "v1")
	cp.PutAccount(unloaded, "u1")
	b.load(known)
	b.load(unloaded)
	b.Drop(unloaded)
	// The cache follows changes of accounts that nobody uses.
	want, revision := cp.PutAccount(unloaded, "u2")
	awaitEnforced(t, cp, revision)

	cp.Down()
	fleettest.Await(t, "broker notices", b.sink.isOffline)
	if text, got := b.load(unloaded); text != want || got != revision {
		t.Errorf("Lookup while away = revision %d, want %d", got, revision)
	}
	if _, _, err := b.Lookup(t.Context(), cp.NewAccount()); !errors.Is(err, fleet.ErrUnavailable) {
		t.Errorf("Lookup of an account not cached = %v, want ErrUnavailable", err)
	}

	// A new process during the outage serves what it finds.
	b.stop()
	cfg := config(t, cp, b.cfg.StateDir)
	again := start(t, cfg)
	again.load(known)
	again.load(unloaded)

	// What changed meanwhile arrives when the control plane is back.
	_, changed := cp.PutAccount(known, "v2")
	deleted := cp.DeleteAccount(unloaded)
	cp.Up()
	again.awaitLease(cp)
	awaitEnforced(t, cp, deleted)
	if got := again.sink.revision(known); got != changed {
		t.Errorf("after the outage the broker has revision %d, want %d", got, changed)
	}
	if got := again.sink.revision(unloaded); got != -1 {
		t.Errorf("after the outage a deleted account has revision %d", got)
	}
}

func TestForgedCacheIsRefused(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	account := cp.NewAccount()
	cp.PutAccount(account, "v1")
	b.load(account)
	b.stop()
	cp.Down()
	stranger, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(b.cfg.StateDir, "claims", "*", account))
	if err != nil || len(files) != 1 {
		t.Fatalf("cached files = %v, %v; want one", files, err)
	}
	text := fleettest.Sign(t, stranger, account, "forged")
	if err := os.WriteFile(files[0], []byte(`{"revision":9000000,"jwt":"`+text+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	again := start(t, restarted(b.cfg))
	fleettest.Await(t, "broker notices", again.sink.isOffline)
	if _, _, err := again.Lookup(t.Context(), account); !errors.Is(err, fleet.ErrUnavailable) || !errors.Is(err, fleet.ErrUntrusted) {
		t.Errorf("Lookup of a forged file = %v, want ErrUnavailable for ErrUntrusted", err)
	}
	// The control plane is not misled by the file's revision either.
	cp.Up()
	again.awaitLease(cp)
	if _, revision := again.load(account); revision > 9000000 {
		t.Errorf("revision %d", revision)
	}
}

func TestStateFilesAreReadableByTheOwnerOnly(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	info, err := os.Stat(filepath.Join(b.cfg.StateDir, "identity.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("identity.json has mode %v, want 0600", got)
	}
}

func TestUsageReceipts(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	got, err := b.UsageReceipts(t.Context(), "inc", []int64{3600, 7200})
	if err != nil {
		t.Fatal(err)
	}
	want := fleet.Receipt{Window: 7200, Series: 3, Total: 7200, Hash: 7}
	if len(got) != 2 || got[1] != want {
		t.Errorf("UsageReceipts = %+v, want the second to be %+v", got, want)
	}
}

func TestCompactedHistoryLosesNothing(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	changed, deleted, same := cp.NewAccount(), cp.NewAccount(), cp.NewAccount()
	revisions := make(map[string]int64)
	for _, account := range []string{changed, deleted, same} {
		_, revisions[account] = cp.PutAccount(account, "v1")
		b.load(account)
	}
	cp.LoseEvents()
	_, revisions[changed] = cp.PutAccount(changed, "v2")
	last := cp.DeleteAccount(deleted)
	revisions[deleted] = -1
	cp.Compacted()
	awaitEnforced(t, cp, last)
	for account, want := range revisions {
		if got := b.sink.revision(account); got != want {
			t.Errorf("account has revision %d, want %d", got, want)
		}
	}
	_, after := cp.PutAccount(same, "v2")
	awaitEnforced(t, cp, after)
	if got := b.sink.revision(same); got != after {
		t.Errorf("after the watch began anew: revision %d, want %d", got, after)
	}
}

// Whatever a broker looks up after a revision is enforced must not be older:
// accounts are loaded, dropped and changed at once, while sessions come and go.
func TestNothingOlderThanEnforcedIsLookedUp(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	accounts := make([]string, 8)
	for i := range accounts {
		accounts[i] = cp.NewAccount()
		cp.PutAccount(accounts[i], "v0")
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer wg.Wait()
	defer cancel()
	for seed := range uint64(2) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 1))
			for ctx.Err() == nil {
				account := accounts[rnd.IntN(len(accounts))]
				_, revision, err := b.Lookup(ctx, account)
				if err != nil {
					continue
				}
				b.sink.install(account, revision)
				b.Hold(account)
				if rnd.IntN(4) == 0 {
					b.Drop(account)
				}
			}
		})
	}
	for i := range 40 {
		account := accounts[i%len(accounts)]
		_, revision := cp.PutAccount(account, "v"+strconv.Itoa(i))
		if i == 20 {
			cp.Down()
			cp.Up()
		}
		awaitEnforced(t, cp, revision)
		_, got, err := b.Lookup(ctx, account)
		if err != nil && i != 20 {
			t.Fatal(err)
		}
		if err == nil && got < revision {
			t.Fatalf("change %d: Lookup returned revision %d after %d was enforced", i, got, revision)
		}
		if i == 20 {
			b.awaitLease(cp) // where it lost that meanwhile, all was enforced without it
		}
		b.Drop(account)
	}
}

func TestCacheIsBounded(t *testing.T) {
	cp := fleettest.Start(t)
	cfg := config(t, cp, t.TempDir())
	cfg.JoinToken = fleet.JoinToken(cp.JoinToken())
	cfg.AccountsMax = 3
	b := start(t, cfg)
	b.awaitLease(cp)
	inUse := cp.NewAccount()
	cp.PutAccount(inUse, "in use")
	b.load(inUse)
	for range 10 {
		account := cp.NewAccount()
		cp.PutAccount(account, "passing")
		b.load(account)
		b.Drop(account)
	}
	files, err := filepath.Glob(filepath.Join(cfg.StateDir, "claims", "*", "A*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Errorf("%d accounts cached, want 3", len(files))
	}
	if kept, err := filepath.Glob(filepath.Join(cfg.StateDir, "claims", "*", inUse)); err != nil || len(kept) != 1 {
		t.Errorf("the account in use was evicted (%v)", err)
	}
	_, revision := cp.PutAccount(inUse, "v2")
	awaitEnforced(t, cp, revision)
	if got := b.sink.revision(inUse); got != revision {
		t.Errorf("revision %d, want %d", got, revision)
	}
}

func TestDrainingComesAndGoes(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	for _, text := range []string{`{"draining":true}`, `{}`} {
		if _, err := cp.Etcd.Put(t.Context(), "/covey/v1/fleet/order/"+b.BrokerID(), text); err != nil {
			t.Fatal(err)
		}
		fleettest.Await(t, "told "+text, func() bool { return (b.sink.why() != "") == (text != `{}`) })
	}
}
