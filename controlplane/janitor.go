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
	purgeEvery = time.Minute // how late a deleted account or a closed organization may end
	purgeBatch = 100         // accounts or organizations that are looked at in one go
)

// purgeDue ends deleted accounts whose purge time has come. One that cannot be ended does not
// hold up the others of its batch.
func (s *Server) purgeDue(ctx context.Context) error {
	due, err := s.store.DueAccounts(ctx, time.Now(), purgeBatch)
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

// endDue ends closed organizations whose purge time has come. One that cannot be ended does not
// hold up the others of its batch.
func (s *Server) endDue(ctx context.Context) error {
	due, err := s.store.DueOrganizations(ctx, time.Now(), purgeBatch)
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

// sweep forgets operations past their time.
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
