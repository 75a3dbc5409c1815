package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
)

// onRoot makes a change of the installation.
func onRoot(t *testing.T, w *world, f func(ctx context.Context, tx *store.Tx) (tenancy.Operator, error)) (tenancy.Operator, error) {
	t.Helper()
	c := store.Change{Scope: store.Everything(), Actor: "key_test", Method: "Test"}
	o, _, err := store.Update(t.Context(), w.store, c, func(ctx context.Context, tx *store.Tx) (tenancy.Operator, store.Outcome, error) {
		o, err := f(ctx, tx)
		return o, store.Outcome{}, err
	})
	return o, err
}

// promoted brings the next key to where it signs, and nothing is signed again yet.
func promoted(t *testing.T, w *world) (old, next string) {
	t.Helper()
	for _, step := range []func(ctx context.Context, tx *store.Tx) (tenancy.Operator, error){
		w.service.StageOperatorKey,
		func(ctx context.Context, tx *store.Tx) (tenancy.Operator, error) {
			return w.service.PromoteOperatorKey(ctx, tx, "")
		},
		w.service.ActivateOperatorKey,
	} {
		o, err := onRoot(t, w, step)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range o.Keys {
			switch k.State {
			case store.KeyActive:
				next = k.PublicKey
			case store.KeyVerifyOnly:
				old = k.PublicKey
			case store.KeyStaged, store.KeyRetired:
			}
			if k.State != store.KeyStaged && k.SealedSeed != nil {
				t.Errorf("the seed of a key that is %s is kept", k.State)
			}
		}
	}
	return old, next
}

// issuers returns which keys signed how many accounts.
func issuers(t *testing.T, w *world) map[string]int {
	t.Helper()
	v, err := w.store.View(store.Everything(), "")
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := v.ClaimsPage(t.Context(), store.Page{Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]int{}
	for _, a := range all {
		issuer, err := accounts.IssuerOf(a.Claims)
		if err != nil {
			t.Fatal(err)
		}
		by[issuer]++
	}
	return by
}

func reasonOf(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func (w *world) create(t *testing.T, id string) error {
	t.Helper()
	_, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.AccountChange, error) {
		return w.service.CreateAccount(ctx, tx, "CreateAccount", id, tenancy.AccountFields{})
	})
	return err
}

// A control plane that does not know yet that another key signs, does not sign
// with the old one.
func TestNobodySignsWithAKeyThatIsNotActive(t *testing.T) {
	w := newWorld(t)
	other := &world{kv: w.kv, store: w.store, service: tenancy.New(w.custody, nil, slog.New(slog.DiscardHandler))}
	if err := other.create(t, "before"); err != nil { // it now remembers who signs
		t.Fatal(err)
	}
	old, next := promoted(t, w)
	before := issuers(t, w)[old]
	if err := other.create(t, "after"); err != nil {
		t.Fatal(err)
	}
	if by := issuers(t, w); by[next] != 1 || by[old] != before {
		t.Errorf("accounts are signed by %v", by)
	}
}

// Signing again goes over all accounts in batches, also those that somebody makes
// meanwhile, and only then the old key may go.
func TestAccountsAreSignedAgain(t *testing.T) {
	w := newWorld(t)
	for i := range 230 {
		if err := w.create(t, fmt.Sprintf("a%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	old, next := promoted(t, w)
	retire := func(force bool) (tenancy.Operator, error) {
		return onRoot(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.Operator, error) {
			return w.service.RetireOperatorKey(ctx, tx, old, "", force)
		})
	}
	batches := 0
	for done := false; !done; batches++ {
		if _, err := retire(false); reasonOf(err) != "KEY_IN_USE" {
			t.Fatalf("retire after %d batches: %v", batches, err)
		}
		var err error
		if done, err = w.service.ResignAccounts(t.Context(), w.store); err != nil {
			t.Fatal(err)
		}
	}
	if by := issuers(t, w); by[next] != 232 || len(by) != 1 || batches != 3 {
		t.Errorf("after %d batches accounts are signed by %v", batches, by)
	}
	o, err := retire(false)
	if err != nil || len(o.Dependents) != 0 {
		t.Fatalf("retire: %v, %v", o.Dependents, err)
	}
	operator, err := accounts.ReadOperator(o.JWT)
	if err != nil || !slices.Equal(operator.SigningKeys, []string{next}) {
		t.Errorf("the JWT lists %v, %v", operator.SigningKeys, err)
	}
	if _, err := retire(true); reasonOf(err) != "KEY_RETIRED" {
		t.Errorf("retire again: %v", err)
	}
}

// A leaked key is retired by force: who is cut off is told, and is signed again.
func TestAKeyIsRetiredByForce(t *testing.T) {
	w := newWorld(t)
	old, next := promoted(t, w)
	o, err := onRoot(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.Operator, error) {
		return w.service.RetireOperatorKey(ctx, tx, old, "", true)
	})
	if err != nil || len(o.Dependents) == 0 {
		t.Fatalf("retire by force: %v, %v", o.Dependents, err)
	}
	if done, err := w.service.ResignAccounts(t.Context(), w.store); err != nil || !done {
		t.Fatalf("sign again: %v, %v", done, err)
	}
	if by := issuers(t, w); len(by) != 1 || by[next] == 0 {
		t.Errorf("accounts are signed by %v", by)
	}
}

// A staged key that brokers were never told of goes without a trace.
func TestAStagedKeyIsGivenUp(t *testing.T) {
	w := newWorld(t)
	before, err := onRoot(t, w, w.service.StageOperatorKey)
	if err != nil {
		t.Fatal(err)
	}
	staged := before.Keys[len(before.Keys)-1].PublicKey
	after, err := onRoot(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.Operator, error) {
		return w.service.RetireOperatorKey(ctx, tx, staged, "", false)
	})
	if err != nil || after.JWT != before.JWT {
		t.Errorf("give up: the JWT is %q, %v", after.JWT, err)
	}
	if _, err := onRoot(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.Operator, error) {
		return w.service.PromoteOperatorKey(ctx, tx, "")
	}); reasonOf(err) != "NO_STAGED_KEY" {
		t.Errorf("promote: %v", err)
	}
}
