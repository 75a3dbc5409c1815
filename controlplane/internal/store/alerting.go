package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/accounts"
)

// What follows is for the control plane's own use: it crosses organizations, or
// is no change that anybody made and leaves no audit entry.

// AlertingOrganizations lists the organizations that have alert policies, or had
// some and still have alerts.
func (s *Store) AlertingOrganizations(ctx context.Context) ([]string, error) {
	refs, err := loadAll[alertingRef](ctx, s.newView(""), alertingPrefix())
	out := make([]string, len(refs))
	for i, r := range refs {
		out[i] = r.Organization
	}
	return out, err
}

// Heads returns where the audit logs of organizations end: whatever changes in
// one of them moves it.
func (s *Store) Heads(ctx context.Context, organizations []string) (map[string]int64, error) {
	v := s.newView("")
	keys, of := make([]string, len(organizations)), make(map[string]string, len(organizations))
	for i, o := range organizations {
		keys[i] = s.newView(o).auditHeadKey()
		of[keys[i]] = o
	}
	heads := make(map[string]int64, len(organizations))
	err := v.batch(ctx, keys, func(key string, _ []byte, revision int64) error {
		heads[of[key]] = revision
		return nil
	})
	return heads, err
}

// HoldAlert remembers of a threshold that it is reached, and makes no alert yet.
// One that is remembered already is left alone.
func (s *Store) HoldAlert(ctx context.Context, organization string, m AlertMark) error {
	key := s.newView(organization).alertMarkKey(m.Key())
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode record %s: %w", key, err)
	}
	packed, err := pack(key, mark(text))
	if err != nil {
		return err
	}
	_, err = s.kv.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0), s.fenceCompare()).Then(clientv3.OpPut(key, packed)).Commit()
	if err != nil {
		return unavailable("hold alert", err)
	}
	return nil
}

// ReleaseAlert forgets of a threshold that it was reached, as long as m is what is
// remembered.
func (s *Store) ReleaseAlert(ctx context.Context, organization string, m AlertMark) error {
	key := s.newView(organization).alertMarkKey(m.Key())
	_, err := s.kv.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", m.Revision), s.fenceCompare()).Then(clientv3.OpDelete(key)).Commit()
	if err != nil {
		return unavailable("release alert", err)
	}
	return nil
}

// DueNote is something that a receiver has not been told yet.
type DueNote struct {
	Organization, Alert, Type string
	Policy                    string // its uid
	After                     string // where the list goes on
}

// DueNotes lists at most limit of them, those of one alert in the order in which
// it happened. After is "" to begin, and what the last one says to go on.
func (s *Store) DueNotes(ctx context.Context, after string, limit int) ([]DueNote, error) {
	from := alertNotePrefix()
	if after != "" {
		from = after + "\x00"
	}
	r, err := s.kv.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(alertNotePrefix())), clientv3.WithLimit(int64(limit)))
	if err != nil {
		return nil, unavailable("list", err)
	}
	due := make([]DueNote, len(r.Kvs))
	for i, kv := range r.Kvs {
		var ref alertNoteRef
		if err := decode(string(kv.Key), kv.Value, kv.ModRevision, &ref); err != nil {
			return nil, err
		}
		due[i] = DueNote{ref.Organization, ref.Alert, ref.Type, ref.Policy, string(kv.Key)}
	}
	return due, nil
}

// NoteAttempt writes down what became of telling a receiver. What is not pending
// any more is not due any more. Whoever changed the alert meanwhile is not undone.
func (s *Store) NoteAttempt(ctx context.Context, d DueNote, n AlertNote) error {
	queued := alertNoteKey(d.Organization, d.Alert, d.Type)
	for range attemptsMax {
		v := s.newView(d.Organization)
		key := v.alertKey(d.Alert)
		a, err := v.Alert(ctx, d.Alert)
		if isNotFound(err) {
			if _, err := s.kv.Delete(ctx, queued); err != nil {
				return unavailable("note attempt", err)
			}
			return nil
		}
		if err != nil {
			return err
		}
		a.setNote(n)
		text, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("encode record %s: %w", key, err)
		}
		packed, err := pack(key, mark(text))
		if err != nil {
			return err
		}
		ops := []clientv3.Op{clientv3.OpPut(key, packed)}
		if n.State != NotePending {
			ops = append(ops, clientv3.OpDelete(queued))
		}
		r, err := s.kv.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", a.Revision), s.fenceCompare()).Then(ops...).Commit()
		if err != nil {
			return unavailable("note attempt", err)
		}
		if r.Succeeded {
			return nil
		}
		if err := s.checkFence(ctx); err != nil {
			return err
		}
	}
	return errContended
}

func (a *Alert) setNote(n AlertNote) {
	for i := range a.Notes {
		if a.Notes[i].Type == n.Type {
			a.Notes[i] = n
		}
	}
}

// ForgetAlerts removes alerts of an organization that closed before a time, and the
// oldest closed ones beyond most alerts in all. Doing it twice, or from two
// processes, does no harm.
func (s *Store) ForgetAlerts(ctx context.Context, organization string, before time.Time, most int) error {
	v := s.newView(organization)
	p := Page{Size: pageSizeMax}
	kept := 0
	for {
		list, next, err := v.Alerts(ctx, p)
		if err != nil {
			return err
		}
		for _, a := range list {
			kept++
			if a.State != AlertClosed || !a.CloseTime.Before(before) && kept <= most {
				continue
			}
			kept--
			if err := s.forgetAlert(ctx, v, a); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		p.After = next
	}
}

func (s *Store) forgetAlert(ctx context.Context, v *View, a Alert) error {
	ops := []clientv3.Op{clientv3.OpDelete(v.alertKey(a.ID))}
	for _, kind := range []string{AlertOpenedEvent, AlertClosedEvent} {
		ops = append(ops, clientv3.OpDelete(alertNoteKey(v.org, a.ID, kind)))
	}
	if _, err := s.kv.Txn(ctx).If(s.fenceCompare()).Then(ops...).Commit(); err != nil {
		return unavailable("forget alert", err)
	}
	return nil
}

// CountAlerts says how many alerts the organization has, closed ones included.
func (v *View) CountAlerts(ctx context.Context) (int64, error) { return v.count(ctx, v.alertPrefix()) }

// EndAlerting has an organization not be looked at any more, if it has neither
// policies nor alerts.
func (s *Store) EndAlerting(ctx context.Context, organization string) error {
	v := s.newView(organization)
	cmps := []clientv3.Cmp{s.fenceCompare()}
	for _, prefix := range []string{v.orgKey("alert-policy/"), v.alertPrefix(), v.alertMarkPrefix()} {
		cmps = append(cmps, clientv3.Compare(clientv3.CreateRevision(prefix), "=", 0).WithPrefix())
	}
	if _, err := s.kv.Txn(ctx).If(cmps...).Then(clientv3.OpDelete(alertingKey(organization))).Commit(); err != nil {
		return unavailable("end alerting", err)
	}
	return nil
}

// NewAlertID makes the id of a new alert.
func NewAlertID(now time.Time) string { return accounts.NewUID(accounts.PrefixAlert, now) }
