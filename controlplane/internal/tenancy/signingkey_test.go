package tenancy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
)

// A key does not begin to sign while a connected broker would refuse what it
// signs.
func TestAStagedKeyWaitsForTheBrokers(t *testing.T) {
	w := newWorld(t)
	staged, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.RoleChange, error) {
		return w.service.StageKey(ctx, tx, "StageKey", "default", "default", "")
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, everywhere := range []bool{false, true} {
		asked := ""
		_, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (store.Role, error) {
			return w.service.PromoteKey(ctx, tx, "default", "default", "", func(op store.Operation) (bool, error) {
				asked = op.ID
				return everywhere, nil
			})
		})
		if errors.Is(err, errs.New(errs.Unavailable, "KEY_NOT_ENFORCED", "")) == everywhere || everywhere && err != nil {
			t.Errorf("known everywhere %v: %v", everywhere, err)
		}
		if asked != staged.Operation.ID {
			t.Errorf("asked about operation %q, staged by %q", asked, staged.Operation.ID)
		}
	}
}

// A seed is sealed under its own key's name: two of a role cannot be swapped,
// and a retired one is gone.
func TestSeedsOfARoleAreApart(t *testing.T) {
	w := newWorld(t)
	stage := func(ctx context.Context, tx *store.Tx) (tenancy.RoleChange, error) {
		return w.service.StageKey(ctx, tx, "StageKey", "default", "default", "")
	}
	if _, err := apply(t, w, stage); err != nil {
		t.Fatal(err)
	}
	_, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		r, err := tx.Role(ctx, "default", "default")
		if err != nil {
			return struct{}{}, err
		}
		r.Keys[0].SealedSeed, r.Keys[1].SealedSeed = r.Keys[1].SealedSeed, r.Keys[0].SealedSeed
		return struct{}{}, tx.PutRole("default", r)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.issue(t, ""); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("signing with another key's seed: %v", err)
	}
	rotated, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.RoleChange, error) {
		return w.service.RotateKeyNow(ctx, tx, "RotateKeyNow", "default", "default", "")
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range rotated.Role.Keys {
		if (k.SealedSeed == nil) != (k.State == store.KeyRetired) {
			t.Errorf("key %s has a seed of %d bytes", k.State, len(k.SealedSeed))
		}
	}
	if _, err := w.issue(t, ""); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
}
