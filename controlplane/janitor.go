package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
)

const (
	sweepEvery = time.Hour   // operations are kept 30 days; an hour more or less does not matter
	purgeEvery = time.Minute // how late a deleted account may end
	purgeBatch = 100         // accounts that are looked at in one go
)

// purgeDeletedAccounts ends deleted accounts whose purge time has come, now and
// every minute. A failure is tried again at the next turn.
func (s *Server) purgeDeletedAccounts(ctx context.Context) error {
	ticker := time.NewTicker(purgeEvery)
	defer ticker.Stop()
	for {
		if err := s.purgeDue(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "deleted accounts stay for now", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// purgeDue ends the accounts that are due. One that cannot be ended does not
// hold up the others of its batch.
func (s *Server) purgeDue(ctx context.Context, now time.Time) error {
	due, err := s.store.DueAccounts(ctx, now, purgeBatch)
	if err != nil {
		return err
	}
	var failed error
	for _, d := range due {
		if err := s.tenancy.PurgeDue(ctx, s.store, d); err != nil {
			failed = errors.Join(failed, fmt.Errorf("purge %s/%s: %w", d.Organization, d.Account, err))
		}
	}
	return failed
}

// endClosedOrganizations ends closed organizations whose purge time has come, now and
// every minute. A failure is tried again at the next turn.
func (s *Server) endClosedOrganizations(ctx context.Context) error {
	ticker := time.NewTicker(purgeEvery)
	defer ticker.Stop()
	for {
		if err := s.endDue(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "closed organizations stay for now", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// endDue ends the organizations that are due. One that cannot be ended does not
// hold up the others of its batch.
func (s *Server) endDue(ctx context.Context, now time.Time) error {
	due, err := s.store.DueOrganizations(ctx, now, purgeBatch)
	if err != nil {
		return err
	}
	var failed error
	for _, organization := range due {
		if err := s.tenancy.EndDue(ctx, s.store, organization); err != nil {
			failed = errors.Join(failed, fmt.Errorf("end %s: %w", organization, err))
		}
	}
	return failed
}

// forgetOldOperations removes operations past their time, now and every hour. A
// failure is tried again at the next turn.
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
