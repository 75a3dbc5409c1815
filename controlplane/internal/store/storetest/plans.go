package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// testPlans holds a store to what it keeps of plans, and of what organizations
// have of them.
func testPlans(t *testing.T, s *store.Store) {
	five := int64(5)
	for _, id := range []string{"pro", "free"} {
		mustApply(t, s, change("", ""), func(ctx context.Context, tx *store.Tx) error {
			return tx.CreatePlan(ctx, store.Plan{ID: id, Generation: 1, Terms: accounts.Terms{Accounts: &five}})
		})
	}
	if _, err := apply(t, s, change("", ""), func(ctx context.Context, tx *store.Tx) error { return tx.CreatePlan(ctx, store.Plan{ID: "pro"}) }); !errors.Is(err, store.ErrExists) {
		t.Errorf("a second plan of that name: %v", err)
	}
	if list, next, err := s.Plans(t.Context(), store.Page{Size: 1}); err != nil || len(list) != 1 || list[0].ID != "free" || next != "free" || *list[0].Terms.Accounts != 5 {
		t.Errorf("plans %+v, then %q, %v", list, next, err)
	}
	for _, org := range []string{"acme", "globex"} {
		mustApply(t, s, change(org, ""), func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(createOrg(ctx, tx), tx.PutTerms(ctx, store.OrgTerms{Plan: "pro", Generation: 1}))
		})
	}
	// What a change puts, it reads; and only the last of it is there afterwards.
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		err := tx.PutTerms(ctx, store.OrgTerms{Plan: "free", Generation: 2, Behind: "first"})
		o, e := tx.Terms(ctx)
		if o.Behind != "first" {
			t.Errorf("a change reads %+v", o)
		}
		return errors.Join(err, e, tx.PutTerms(ctx, store.OrgTerms{Plan: "free", Generation: 3, Allocated: map[string]int64{"connections": 7}}))
	})
	if o, err := view(t, s, "acme").Terms(t.Context()); err != nil || o.Generation != 3 || o.Allocated["connections"] != 7 || o.Behind != "" {
		t.Errorf("terms %+v, %v", o, err)
	}
	for plan, want := range map[string]store.PlanOrganization{"pro": {Organization: "globex", Generation: 1}, "free": {Organization: "acme", Generation: 3}} {
		if list, _, err := s.PlanOrganizations(t.Context(), plan, store.Page{Size: 9}); err != nil || len(list) != 1 || list[0] != want {
			t.Errorf("organizations on %s: %+v, %v", plan, list, err)
		}
	}
	testExpiry(t, s)
	testSpreads(t, s)
}

func testExpiry(t *testing.T, s *store.Store) {
	t.Helper()
	at := time.Unix(5000, 0).UTC()
	o := accounts.Override{ExpireTime: at}
	mustApply(t, s, change("acme", ""), func(_ context.Context, tx *store.Tx) error {
		return errors.Join(tx.NoteExpiry("", "connections", o), tx.NoteExpiry("a", "leaf_nodes", accounts.Override{ExpireTime: at.Add(time.Second)}), tx.NoteExpiry("a", "connections", accounts.Override{}))
	})
	for after, want := range map[time.Duration]int{-time.Second: 0, 0: 1, time.Second: 2} {
		if due, err := s.DueOverrides(t.Context(), at.Add(after)); err != nil || len(due) != want {
			t.Errorf("due %s after: %+v, %v", after, due, err)
		}
	}
	mustApply(t, s, change("acme", ""), func(_ context.Context, tx *store.Tx) error {
		tx.DropExpiry("", "connections", o)
		return nil
	})
	if due, err := s.DueOverrides(t.Context(), at.Add(time.Hour)); err != nil || len(due) != 1 || due[0] != (store.DueOverride{Organization: "acme", Account: "a", Limit: "leaf_nodes"}) {
		t.Errorf("due %+v, %v", due, err)
	}
}

func testSpreads(t *testing.T, s *store.Store) {
	t.Helper()
	var id string
	first := mustApply(t, s, change("acme", ""), func(_ context.Context, tx *store.Tx) error {
		op, err := tx.BeginSpreading("M", "t")
		id = op.ID
		return errors.Join(err, tx.PutSpread(store.Spread{Operations: []string{op.ID}}))
	})
	if list, err := s.Spreading(t.Context(), 5); err != nil || len(list) != 1 || list[0] != "acme" {
		t.Errorf("spreading %v, %v", list, err)
	}
	if op, err := view(t, s, "acme").Operation(t.Context(), id); err != nil || !op.Spreading || op.Revision != first.Revision {
		t.Errorf("operation %+v, %v", op, err)
	}
	last := mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		tx.DropSpread()
		return errors.Join(tx.EndSpreading(ctx, id), tx.EndSpreading(ctx, "opn_forgotten"))
	})
	if op, err := view(t, s, "acme").Operation(t.Context(), id); err != nil || op.Spreading || op.Revision != last.Revision {
		t.Errorf("operation at its end %+v, %v; revision %d", op, err, last.Revision)
	}
	if list, err := s.Spreading(t.Context(), 5); err != nil || len(list) != 0 {
		t.Errorf("spreading %v, %v", list, err)
	}
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		err := errors.Join(tx.CreateAccount(ctx, store.Account{ID: "a", PublicKey: "K"}), tx.CreateUser(ctx, store.User{ID: "u", Account: "a"}), tx.CreateUser(ctx, store.User{ID: "v", Account: "a"}))
		users, e := tx.CountUsers(ctx)
		if users != 2 {
			t.Errorf("a change counts %d users", users)
		}
		return errors.Join(err, e)
	})
	v := view(t, s, "acme")
	users, err := v.CountUsers(t.Context())
	n, err2 := v.CountAccounts(t.Context())
	if err = errors.Join(err, err2); err != nil || users != 2 || n != 1 {
		t.Errorf("%d users, %d accounts, %v", users, n, err)
	}
}
