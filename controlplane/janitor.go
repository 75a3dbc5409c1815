package controlplane

import (
	"context"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
)

const sweepEvery = time.Hour // operations are kept 30 days; an hour more or less does not matter

// forgetOldOperations removes operations past their time, now and every hour.
// Several control planes may do it at once. A failure is tried again at the
// next turn.
func (s *Server) forgetOldOperations(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "old operations stay for now", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (s *Server) sweep(ctx context.Context) error {
	page, err := store.ParsePage(0, "")
	if err != nil {
		return err
	}
	for {
		organizations, next, err := s.store.Organizations(ctx, store.Everything(), page)
		if err != nil {
			return err
		}
		for _, o := range organizations {
			if err := s.store.ForgetOperations(ctx, o.ID, time.Now()); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		page.After = next
	}
}
