package tenancy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

func (w *world) due(t *testing.T, now time.Time) []store.DueAccount {
	t.Helper()
	due, err := w.store.DueAccounts(t.Context(), now, 10)
	if err != nil {
		t.Fatal(err)
	}
	return due
}

// A deleted account ends by itself when its purge time has come, once, and not
// if it was undeleted.
func TestDeletedAccountsEndWhenDue(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"orders", "shop", "later"} {
		if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.AccountChange, error) {
			return w.service.CreateAccount(ctx, tx, "CreateAccount", id, tenancy.AccountFields{})
		}); err != nil {
			t.Fatal(err)
		}
	}
	for id, retention := range map[string]time.Duration{"orders": 0, "shop": 0, "later": time.Hour} {
		if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.AccountChange, error) {
			return w.service.DeleteAccount(ctx, tx, "DeleteAccount", id, "", retention)
		}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	due := w.due(t, now)
	if len(due) != 2 || len(w.due(t, now.Add(2*time.Hour))) != 3 || len(w.due(t, now.Add(-time.Hour))) != 0 {
		t.Fatalf("due are %v", due)
	}
	if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.AccountChange, error) {
		return w.service.UndeleteAccount(ctx, tx, "UndeleteAccount", "shop", "")
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // as two control planes do at once
		for _, d := range append(due, store.DueAccount{Organization: "acme", Account: "later"}) {
			if err := w.service.PurgeDue(t.Context(), w.store, d); err != nil {
				t.Errorf("purge %+v: %v", d, err)
			}
		}
	}
	v, err := w.store.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]struct{ there, deleted bool }{"orders": {}, "shop": {there: true}, "later": {true, true}} {
		a, err := v.Account(t.Context(), id)
		if (err == nil) != want.there || !want.there && !errors.Is(err, store.ErrNotFound) || a.Deleted() != want.deleted {
			t.Errorf("%s: %+v, %v", id, a, err)
		}
	}
	if left := w.due(t, now.Add(time.Hour*2)); len(left) != 1 || left[0].Account != "later" {
		t.Errorf("still due: %v", left)
	}
	gone, err := v.DeletedAccounts(t.Context())
	if err != nil || len(gone) != 1 || gone[0].Account != "orders" {
		t.Errorf("what is left to bill: %v, %v", gone, err)
	}
}
