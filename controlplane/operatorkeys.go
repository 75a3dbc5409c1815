package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

const (
	operatorKeysEvery = time.Second           // how often is looked whether a key may sign by now
	resignPause       = 50 * time.Millisecond // between two batches: at most 2000 accounts a second
)

// moveOperatorKeys lets an operator's key sign once brokers know it, and then
// signs every account again.
func (s *Server) moveOperatorKeys(ctx context.Context) error {
	if err := s.activateOperatorKey(ctx); err != nil {
		return err
	}
	return s.resignAccounts(ctx)
}

func (s *Server) activateOperatorKey(ctx context.Context) error {
	v, err := s.store.View(store.Everything(), "")
	if err != nil {
		return err
	}
	o, err := tenancy.OperatorOf(ctx, v)
	if err != nil || !o.AwaitsBrokers() {
		return err
	}
	fleet, err := brokers{s.fleet, s.store}.own(ctx) // stock servers are given the operator by hand
	if err != nil {
		return fmt.Errorf("read brokers: %w", err)
	}
	if operation.StateOf(fleet, o.Announced, time.Now()) < operation.Enforced {
		return nil
	}
	change := store.Change{Scope: store.Everything(), Actor: "system", Method: "ActivateOperatorKey", Target: "operator"}
	o, _, err = store.Update(ctx, s.store, change, func(ctx context.Context, tx *store.Tx) (tenancy.Operator, store.Outcome, error) {
		o, err := s.tenancy.ActivateOperatorKey(ctx, tx)
		return o, store.Outcome{}, err
	})
	if err == nil {
		s.log.InfoContext(ctx, "another key of the operator signs", slog.String("key", o.Installation.SigningKey))
	}
	return err
}

// resignAccounts signs all accounts again that need it.
func (s *Server) resignAccounts(ctx context.Context) error {
	pause := time.NewTicker(resignPause)
	defer pause.Stop()
	for {
		done, err := s.tenancy.ResignAccounts(ctx, s.store)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
	}
}
