package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

func (w *world) close(t *testing.T, retention time.Duration) (store.Organization, error) {
	t.Helper()
	return apply(t, w, func(ctx context.Context, tx *store.Tx) (store.Organization, error) {
		o, _, err := w.service.CloseOrganization(ctx, tx, "CloseOrganization", "", retention)
		return o, err
	})
}

func (w *world) closing(t *testing.T, now time.Time) []string {
	t.Helper()
	due, err := w.store.DueOrganizations(t.Context(), now, 10)
	if err != nil {
		t.Fatal(err)
	}
	return due
}

// A closed organization ends when its purge time has come, wherever those who end it
// are cut off, and leaves nothing that acts for it.
func TestAClosedOrganizationEndsWhereverItIsCutOff(t *testing.T) {
	w := newWorld(t)
	w.deleted(t) // an account that is deleted already
	w.bind(t, 30)
	for _, id := range []string{"shop", "stock"} {
		if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.AccountChange, error) {
			return w.service.CreateAccount(ctx, tx, "CreateAccount", id, tenancy.AccountFields{})
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.close(t, time.Hour); err != nil {
		t.Fatal(err)
	}
	if now := time.Now(); len(w.closing(t, now)) != 0 || !slices.Equal(w.closing(t, now.Add(2*time.Hour)), []string{"acme"}) {
		t.Errorf("due now %v, later %v", w.closing(t, now), w.closing(t, now.Add(2*time.Hour)))
	}
	if err := w.service.EndDue(t.Context(), w.store, "acme"); err != nil {
		t.Fatal(err)
	}
	w.wantStanding(t, "before it is due", false, 4)
	if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (store.Organization, error) {
		o, _, err := w.service.UndeleteOrganization(ctx, tx, "UndeleteOrganization", "")
		return o, err
	}); err != nil {
		t.Fatal(err)
	}
	if due := w.closing(t, time.Now().Add(2*time.Hour)); len(due) != 0 {
		t.Errorf("undeleted, and due: %v", due)
	}
	if err := w.service.EndDue(t.Context(), w.store, "acme"); err != nil {
		t.Fatal(err)
	}
	w.wantStanding(t, "undeleted", false, 4)

	if _, err := w.close(t, 0); err != nil {
		t.Fatal(err)
	}
	cuts := 0
	for w.endUntil(t, 1) != nil {
		if cuts++; cuts > 200 {
			t.Fatal("it does not end")
		}
	}
	if cuts < 5 {
		t.Errorf("cut off %d times only", cuts)
	}
	w.wantStanding(t, "ended", true, 0)
	if due := w.closing(t, farAway()); len(due) != 0 {
		t.Errorf("still due: %v", due)
	}
	_, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.SignedUp, error) {
		return w.service.SignUp(ctx, tx, "SignUp", tenancy.NewOrganization{ID: "acme"})
	})
	if err == nil {
		t.Error("somebody else got its name")
	}
	_, err = w.close(t, 0)
	if reasonOf(err) != "ORGANIZATION_DELETED" {
		t.Errorf("closed again: %v", err)
	}
}

// endUntil ends what is due until so many transactions have begun.
func (w *world) endUntil(t *testing.T, transactions int) error {
	t.Helper()
	ctx, cut := context.WithCancel(t.Context())
	defer cut()
	defer w.kv.Before(nil)
	var next func()
	next = func() {
		if transactions--; transactions < 0 {
			cut()
			return
		}
		w.kv.Before(next)
	}
	w.kv.Before(next)
	return w.service.EndDue(ctx, w.store, "acme")
}

// wantStanding checks what is left of the organization.
func (w *world) wantStanding(t *testing.T, when string, ended bool, accounts int) {
	t.Helper()
	v, err := w.store.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	o, err := v.Org(ctx)
	all, e1 := v.AllAccounts(ctx)
	services, e2 := v.AllServiceAccounts(ctx)
	members, e3 := v.AllMembers(ctx)
	keys, _, e4 := v.OrgKeys(ctx, store.Page{Size: 100})
	gone, e5 := v.DeletedAccounts(ctx)
	if err := errors.Join(err, e1, e2, e3, e4, e5); err != nil {
		t.Fatal(err)
	}
	if o.Ended != ended || len(all) != accounts || ended != (len(services)+len(members)+len(keys) == 0) {
		t.Errorf("%s: ended %v, %d accounts, %d service accounts, %d members, %d keys", when, o.Ended, len(all), len(services), len(members), len(keys))
	}
	if ended && (len(gone) != 4 || o.ContactEmail != "") {
		t.Errorf("%s: what is left to bill: %v; contact %q", when, gone, o.ContactEmail)
	}
}

// Whoever protects an account from deletion protects it from the end of the
// organization, too.
func TestProtectedAccountsKeepTheirOrganization(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.AccountChange, error) {
			return w.service.CreateAccount(ctx, tx, "CreateAccount", fmt.Sprintf("safe-%d", i), tenancy.AccountFields{DeleteProtection: true})
		}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.close(t, 0)
	if reasonOf(err) != "DELETE_PROTECTED" || !strings.Contains(err.Error(), "safe-0, safe-1, safe-2, safe-3, safe-4 and 2 more") {
		t.Errorf("closed: %v", err)
	}
	if due := w.closing(t, farAway()); len(due) != 0 {
		t.Errorf("due: %v", due)
	}
}
