package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
)

const (
	followEvery = 10 * time.Second // how late accounts follow a change whose control plane was cut off
	followBatch = 100              // organizations that are looked at in one go
)

// followPlans brings what was changed of plans and organizations to whom it is
// about, where the call that changed it could not, and ends overrides whose time
// is over. One that fails does not hold up the others.
func (s *Server) followPlans(ctx context.Context) error {
	return errors.Join(s.spreadChanges(ctx), s.spreadPlans(ctx), s.endOverrides(ctx, time.Now()))
}

func (s *Server) spreadChanges(ctx context.Context) error {
	organizations, err := s.store.Spreading(ctx, followBatch)
	for _, o := range organizations {
		if e := s.tenancy.Spread(ctx, s.store, o); e != nil {
			err = errors.Join(err, fmt.Errorf("organization %s: %w", o, e))
		}
	}
	return err
}

func (s *Server) spreadPlans(ctx context.Context) error {
	page := store.Page{Size: followBatch}
	var failed error
	for {
		plans, next, err := s.store.Plans(ctx, page)
		if err != nil {
			return errors.Join(failed, err)
		}
		for _, p := range plans {
			if p.Spread == p.Generation {
				continue
			}
			if err := s.tenancy.SpreadPlan(ctx, s.store, p.ID); err != nil {
				failed = errors.Join(failed, fmt.Errorf("plan %s: %w", p.ID, err))
			}
		}
		if next == "" {
			return failed
		}
		page.After = next
	}
}

func (s *Server) endOverrides(ctx context.Context, now time.Time) error {
	due, err := s.store.DueOverrides(ctx, now)
	for _, d := range due {
		if e := s.tenancy.EndOverride(ctx, s.store, d); e != nil {
			err = errors.Join(err, fmt.Errorf("override of %s for %s/%s: %w", d.Limit, d.Organization, d.Account, e))
		}
	}
	return err
}
