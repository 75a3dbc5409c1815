package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// CheckEmpty refuses a store that has a trust root.
func CheckEmpty(ctx context.Context, s *store.Store) error {
	_, err := s.Installation(ctx)
	switch {
	case err == nil:
		return errs.New(errs.Precondition, "STORE_NOT_EMPTY", "the store has a trust root of its own").
			WithNext("to take its root key offline: `covey admin operator detach-root`")
	case errors.Is(err, store.ErrNotFound):
		return nil
	}
	return fmt.Errorf("read installation: %w", err)
}

// Init makes the trust root of an empty store. A root key that is given is used,
// and not kept.
func Init(ctx context.Context, s *store.Store, c *custody.Custody, offline *accounts.Seed) (Root, error) {
	if err := CheckEmpty(ctx, s); err != nil {
		return Root{}, err
	}
	i, first, err := install(ctx, s, c, offline)
	if err == nil && first.IsZero() { // a control plane was faster
		err = CheckEmpty(ctx, s)
	}
	return Root{Installation: i, FirstKey: first}, err
}

// RootSeed opens the seed of the root key, if the store has it.
func RootSeed(ctx context.Context, s *store.Store, c *custody.Custody) (accounts.Seed, error) {
	i, err := s.Installation(ctx)
	if err != nil {
		return accounts.Seed{}, fmt.Errorf("read installation: %w", err)
	}
	if len(i.SealedRoot) == 0 {
		return accounts.Seed{}, errs.New(errs.Precondition, "ROOT_OFFLINE", "the root key of the operator %s is kept offline already", i.RootKey)
	}
	text, err := c.Unseal(ctx, rowRoot, i.SealedRoot)
	if err != nil {
		return accounts.Seed{}, fmt.Errorf("open operator root key: %w", err)
	}
	defer clear(text)
	return accounts.ParseSeed(text)
}

// ForgetRoot takes the root key out of the store.
func ForgetRoot(ctx context.Context, s *store.Store) error {
	change := store.Change{Scope: store.Everything(), Actor: "system", Method: "DetachRoot", Target: "operator"}
	_, _, err := store.Update(ctx, s, change, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		i, err := tx.Installation(ctx)
		if err != nil {
			return struct{}{}, store.Outcome{}, fmt.Errorf("read installation: %w", err)
		}
		i.SealedRoot = nil
		return struct{}{}, store.Outcome{}, tx.PutInstallation(i)
	})
	return err
}
