package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// noticesKey says up to when holders of credentials were told that these expire.
const noticesKey = root + "sys/notices"

type noticesRecord struct {
	Stored
	Until time.Time `json:"until"`
}

// NoticedUntil returns up to when notices of credentials that expire were
// written; the zero time if none ever were.
func (s *Store) NoticedUntil(ctx context.Context) (time.Time, error) {
	var r noticesRecord
	err := s.newView("").load(ctx, noticesKey, &r)
	return r.Until, ignoreNotFound(err)
}

// SetNoticedUntil notes that all notices up to a time are written. It is no
// change that anybody made, and leaves no audit entry.
func (s *Store) SetNoticedUntil(ctx context.Context, until time.Time) error {
	text, err := json.Marshal(noticesRecord{Until: until})
	if err != nil {
		return fmt.Errorf("encode notices: %w", err)
	}
	if _, err := s.kv.Put(ctx, noticesKey, mark(text)); err != nil {
		return unavailable("note notices", err)
	}
	return nil
}

// OrganizationCredentials lists everything that was issued in an organization,
// in pages of Page.Size.
func (v *View) OrganizationCredentials(ctx context.Context, p Page) ([]Credential, string, error) {
	return loadPage[Credential](ctx, v, v.orgKey("cred/"), p)
}
