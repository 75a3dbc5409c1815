package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/store/storetest"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
)

// bind makes n service accounts with roles on two accounts, orders and default.
func (w *world) bind(t *testing.T, n int) {
	t.Helper()
	for from := 0; from < n; from += 50 {
		if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (struct{}, error) {
			for i := from; i < min(n, from+50); i++ {
				err := tx.CreateServiceAccount(ctx, store.ServiceAccount{ID: fmt.Sprintf("ci%03d", i), Bindings: []store.RoleBinding{
					{Role: "developer", Account: "orders"}, {Role: "developer", Account: "default"},
				}})
				if err != nil {
					return struct{}{}, err
				}
			}
			return struct{}{}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// deleted makes an account, orders, that is deleted and due.
func (w *world) deleted(t *testing.T) {
	t.Helper()
	if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.AccountChange, error) {
		return w.service.CreateAccount(ctx, tx, "CreateAccount", "orders", tenancy.AccountFields{})
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.AccountChange, error) {
		return w.service.DeleteAccount(ctx, tx, "DeleteAccount", "orders", "", 0)
	}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) bound(t *testing.T, account string) int {
	t.Helper()
	v, err := w.store.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	all, err := v.AllServiceAccounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, sa := range all {
		if slices.ContainsFunc(sa.Bindings, func(b store.RoleBinding) bool { return b.Account == account }) {
			n++
		}
	}
	return n
}

var ordersDue = store.DueAccount{Organization: "acme", Account: "orders"}

// More hold on to the account than one transaction can let go of.
func TestAnAccountWithHundredsOfBindingsEnds(t *testing.T) {
	const holders = 350
	w := newWorld(t)
	w.deleted(t)
	w.bind(t, holders)
	if err := w.service.PurgeDue(t.Context(), w.store, ordersDue); err != nil {
		t.Fatal(err)
	}
	if n := w.bound(t, "orders"); n != 0 {
		t.Errorf("%d hold on to what is gone", n)
	}
	if n := w.bound(t, "default"); n != holders {
		t.Errorf("%d hold on to the other account, want %d", n, holders)
	}
	if due := w.due(t, farAway()); len(due) != 0 {
		t.Errorf("still due: %v", due)
	}
}

// Once the end has begun there is no way back, and the next turn goes on.
func TestAnEndThatWasCutOffGoesOn(t *testing.T) {
	w := newWorld(t)
	w.deleted(t)
	w.bind(t, 200)
	// The first stage is made; then the store is away.
	plan := []storetest.Fault{storetest.None}
	for range 40 {
		plan = append(plan, storetest.NotApplied)
	}
	w.kv.Fail(plan...)
	if err := w.service.PurgeDue(t.Context(), w.store, ordersDue); err == nil {
		t.Fatal("the end came while the store was away")
	}
	w.kv.Fail()
	if n := w.bound(t, "orders"); n == 0 || n == 200 {
		t.Errorf("%d of 200 after the first stage", n)
	}
	_, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.AccountChange, error) {
		return w.service.UndeleteAccount(ctx, tx, "UndeleteAccount", "orders", "")
	})
	var e *errs.Error
	if !errors.As(err, &e) || e.Reason != "ACCOUNT_PURGING" {
		t.Errorf("undelete: %v", err)
	}
	if err := w.service.PurgeDue(t.Context(), w.store, ordersDue); err != nil {
		t.Fatal(err)
	}
	if n := w.bound(t, "orders"); n != 0 {
		t.Errorf("%d hold on to what is gone", n)
	}
}

func TestAChangeThatIsTooLargeIsRefused(t *testing.T) {
	w := newWorld(t)
	_, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var err error
		for i := 0; i < 200 && err == nil; i++ {
			err = tx.CreateUser(ctx, store.User{ID: fmt.Sprint("u", i), Account: "default"})
		}
		return struct{}{}, err
	})
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("200 writes: %v", err)
	}
}

func farAway() time.Time { return time.Now().Add(1000 * time.Hour) }
