package controlplane

import (
	"context"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

const (
	noticeEvery = 6 * time.Hour    // notices are of days
	noticeRetry = 10 * time.Minute // after a failure
	noticePage  = 1000             // credentials that are read in one go
)

// noteExpiring writes notices of credentials that expire soon, now and every few
// hours: they are entries of the audit log, from where sinks take them.
func (s *Server) noteExpiring(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		wait := noticeEvery
		if err := s.noticesAt(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "notices of credentials that expire are late", "err", err)
			wait = noticeRetry
		}
		timer.Reset(wait)
	}
}

// noticesAt writes all notices that became due since the last time. What was
// interrupted begins anew, and writes nothing twice.
func (s *Server) noticesAt(ctx context.Context, now time.Time) error {
	last, err := s.store.NoticedUntil(ctx)
	if err != nil {
		return err
	}
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
			if err := s.noticesOf(ctx, o.ID, last, now); err != nil {
				return err
			}
		}
		if next == "" {
			return s.store.SetNoticedUntil(ctx, now)
		}
		page.After = next
	}
}

func (s *Server) noticesOf(ctx context.Context, organization string, last, now time.Time) error {
	page := store.Page{Size: noticePage}
	for {
		v, err := s.store.View(store.Everything(), organization)
		if err != nil {
			return err
		}
		issued, next, err := v.OrganizationCredentials(ctx, page)
		if err != nil {
			return err
		}
		for _, c := range issued {
			days := tenancy.NoticeDue(c, last, now)
			if days == 0 {
				continue
			}
			if err := s.tenancy.NoteExpiring(ctx, s.store, organization, c, days, now); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		page.After = next
	}
}
