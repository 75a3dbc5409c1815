package store

import (
	"context"
	"fmt"
	"time"
)

// Closing reports whether the organization was closed and has not ended.
func (o *Organization) Closing() bool { return !o.CloseTime.IsZero() && !o.Ended }

// Served reports whether clients of the organization's accounts may connect at all.
func (o *Organization) Served() bool { return !o.Suspended && o.CloseTime.IsZero() }

// closingRef says which organization a purge time is of.
type closingRef struct {
	Stored

	Organization string `json:"organization"`
}

// Organizations that are closing sort by when they end.
func closingPrefix() string { return root + "idx/closing/" }

func closingKey(o Organization) string {
	return closingPrefix() + fmt.Sprintf("%011d/%s", o.PurgeTime.Unix(), o.ID)
}

// MarkClosing replaces an organization that was read by the same with a purge time.
func (t *Tx) MarkClosing(o Organization) error {
	if err := t.PutOrg(o); err != nil {
		return err
	}
	return t.put(closingKey(o), closingRef{Organization: o.ID})
}

// UnmarkClosing takes the purge time off an organization that was read with one.
func (t *Tx) UnmarkClosing(o Organization) (Organization, error) {
	t.remove(closingKey(o))
	o.CloseTime, o.PurgeTime = time.Time{}, time.Time{}
	return o, t.PutOrg(o)
}

// EndOrg leaves of an organization, below which nothing is left, what audits and
// invoices need.
func (t *Tx) EndOrg(o Organization) error {
	t.remove(closingKey(o))
	o.Ended = true
	return t.PutOrg(o)
}

// DueOrganizations lists at most limit organizations whose purge time has come, the
// longest due first. It is for the control plane's own use: the answer crosses
// organizations.
func (s *Store) DueOrganizations(ctx context.Context, now time.Time, limit int) ([]string, error) {
	list, _, err := loadPage[closingRef](ctx, s.newView(""), closingPrefix(), Page{Size: limit})
	if err != nil {
		return nil, err
	}
	var due []string
	for _, r := range list {
		o, err := s.newView(r.Organization).Org(ctx)
		if err != nil {
			return nil, err
		}
		if o.Closing() && !now.Before(o.PurgeTime) {
			due = append(due, o.ID)
		}
	}
	return due, nil
}
