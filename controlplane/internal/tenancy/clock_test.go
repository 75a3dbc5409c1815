package tenancy_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

// at is the same world by a control plane whose clock is wrong.
func (w *world) at(off time.Duration) *world {
	other := *w
	other.store = store.New(w.kv, w.client, slog.New(slog.DiscardHandler)).WithClock(func() time.Time { return time.Now().Add(off) })
	return &other
}

func (w *world) issueFor(t *testing.T, ttl time.Duration) store.Credential {
	t.Helper()
	out, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.Issued, error) {
		return w.service.IssueCredential(ctx, tx, "default", "default", tenancy.NewCredential{TTL: ttl})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Credential
}

// Control planes whose clocks are ten minutes off, one ahead and one behind, end
// what the other one began, and neither takes back what the other refused.
func TestClocksThatAreTenMinutesOff(t *testing.T) {
	w := newWorld(t)
	const off = 10 * time.Minute
	ahead, behind := w.at(off), w.at(-off)
	refused := func(what string, c store.Credential) {
		t.Helper()
		if r := w.revocations(t); !r.Revoked(c.PublicKey, c.IssueTime.Unix()) {
			t.Errorf("%s is good", what)
		}
	}
	future := ahead.issueFor(t, time.Hour)
	behind.revoke(t, future.ID)
	refused("what was issued ahead and revoked behind", future)
	past := behind.issueFor(t, time.Hour)
	ahead.revoke(t, past.ID)
	refused("what was issued behind and revoked ahead", past)

	// It is good for five minutes more; by the clock that is ahead it is over.
	short := w.issueFor(t, 5*time.Minute)
	w.revoke(t, short.ID)
	other := ahead.issueFor(t, time.Hour)
	ahead.revoke(t, other.ID)
	refused("what is over only by a clock that is ahead", short)

	// Suspended behind, what was issued ahead is refused, and good again afterwards.
	kept := ahead.issueFor(t, time.Hour)
	for _, suspended := range []bool{true, false} {
		if _, err := apply(t, behind, func(ctx context.Context, tx *store.Tx) (tenancy.UserChange, error) {
			return w.service.SetUserSuspended(ctx, tx, "Suspend", "default", "default", "", suspended)
		}); err != nil {
			t.Fatal(err)
		}
		v, err := w.store.View(store.Everything(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		r, err := v.Revocations(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, e := range r.Suspended["default"] {
			found = found || e.PublicKey == kept.PublicKey && e.At >= kept.IssueTime.Unix()
		}
		if found != suspended {
			t.Errorf("suspended: %t; what was issued ahead is refused: %t", suspended, found)
		}
	}
	// The same request is the same, whoever is asked again.
	c := store.Change{Scope: store.Everything(), Organization: "acme", Actor: "key_test", Method: "Test", RequestID: "one"}
	for i, from := range []*world{ahead, behind, w} {
		_, r, err := store.Update(t.Context(), from.store, c, func(_ context.Context, tx *store.Tx) (string, store.Outcome, error) {
			_, err := tx.BeginOperation("Test", "organizations/acme")
			return "", store.Outcome{}, err
		})
		if err != nil || r.Replayed != (i > 0) {
			t.Errorf("try %d: replayed %t, %v", i, r.Replayed, err)
		}
	}
}
