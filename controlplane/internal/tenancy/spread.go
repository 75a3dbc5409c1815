package tenancy

import (
	"context"
	"errors"

	"github.com/coveymq/covey/controlplane/internal/store"
)

// spreadBatch is how many accounts get new claims in one transaction: each
// compares what a dozen of keys hold, and etcd takes 128 comparisons.
const spreadBatch = 8

// spread brings a change of an organization to the claims of all its accounts.
// It only notes what is to be done, and begins the operation, which is not
// finished before Spread has done it.
func (s *Service) spread(ctx context.Context, tx *store.Tx, method, target string) (store.Operation, error) {
	operation, err := tx.BeginSpreading(method, target)
	if err != nil {
		return store.Operation{}, err
	}
	before, err := tx.Spread(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Operation{}, err
	}
	return operation, tx.PutSpread(store.Spread{Operations: append(before.Operations, operation.ID)})
}

// Spread brings what was noted to the accounts of an organization, until all
// have it. Several may do so at once, and each may be cut off: whoever comes next
// goes on.
func (s *Service) Spread(ctx context.Context, st *store.Store, organization string) error {
	c := store.Change{
		Scope: store.Everything(), Organization: organization, Actor: "system", Method: "SpreadChange",
		Target: OrganizationName(organization), Reason: "the claims of accounts follow a change of their organization",
	}
	size := spreadBatch
	for {
		more, _, err := store.Update(ctx, st, c, func(ctx context.Context, tx *store.Tx) (bool, store.Outcome, error) {
			more, err := s.spreadSome(ctx, tx, size)
			return more, store.Outcome{}, err
		})
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil // there is nothing to do any more
		case err != nil && size > 1 && ctx.Err() == nil:
			size = 1 // one that shares with very many may be too much beside others
		case err != nil:
			return err
		case !more:
			return nil
		}
	}
}

// spreadSome signs the claims of some accounts anew.
func (s *Service) spreadSome(ctx context.Context, tx *store.Tx, size int) (bool, error) {
	todo, err := tx.Spread(ctx)
	if err != nil {
		return false, err
	}
	list, next, err := tx.Accounts(ctx, store.Page{Size: size, After: todo.After})
	if err != nil {
		return false, err
	}
	for _, a := range list {
		if err := s.signStored(ctx, tx, a); err != nil {
			return false, err
		}
	}
	if next != "" {
		todo.After = next
		return true, tx.PutSpread(todo)
	}
	tx.DropSpread()
	for _, id := range todo.Operations {
		if err := tx.EndSpreading(ctx, id); err != nil {
			return false, err
		}
	}
	return false, nil
}
