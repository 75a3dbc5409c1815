package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// What the audit log says of alerts.
const (
	OpenAlertMethod  = "OpenAlert"
	CloseAlertMethod = "CloseAlert"
)

// AcknowledgeAlert notes who takes care of an open alert. Who does it again
// replaces the note.
func (s *Service) AcknowledgeAlert(ctx context.Context, tx *store.Tx, by, id, etag, note string) (store.Alert, error) {
	a, err := tx.Alert(ctx, id)
	if err != nil {
		return a, err
	}
	if err := checkEtag(etag, a.Revision); err != nil {
		return a, err
	}
	if a.State == store.AlertClosed {
		return a, errs.New(errs.Precondition, "ALERT_CLOSED", "the alert is closed since %s: %s", a.CloseTime.Format(timeLayout), a.CloseReason).
			WithNext("there is nothing left to take care of")
	}
	a.State, a.Acknowledger, a.AcknowledgeTime, a.Note = store.AlertAcknowledged, by, tx.Now, note
	return a, tx.PutAlert(a)
}

const timeLayout = "2006-01-02T15:04:05Z07:00"

// errOvertaken ends a change of an alert that is not called for any more.
var errOvertaken = errors.New("another one was faster")

// OpenAlert makes an alert of a threshold that is reached, once: not if there is
// one already, in whichever control plane, nor if the policy is another by now.
// The mark is what was remembered of the threshold; none has no revision.
func (s *Service) OpenAlert(ctx context.Context, st *store.Store, organization string, p store.AlertPolicy, m store.AlertMark, a store.Alert) (opened bool, err error) {
	c := store.Change{
		Scope: store.Everything(), Organization: organization, Actor: "system", Method: OpenAlertMethod, Target: AlertName(organization, a.ID),
		Reason: describeAlert(a),
	}
	_, _, err = store.Update(ctx, st, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		return struct{}{}, store.Outcome{}, openAlert(ctx, tx, p, m, a)
	})
	if errors.Is(err, errOvertaken) {
		return false, nil
	}
	return err == nil, err
}

func openAlert(ctx context.Context, tx *store.Tx, p store.AlertPolicy, m store.AlertMark, a store.Alert) error {
	now, err := tx.AlertPolicy(ctx, p.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && (now.UID != p.UID || now.Revision != p.Revision) {
		return errOvertaken
	}
	if err != nil {
		return err
	}
	known, err := tx.AlertMark(ctx, m.Key())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if known.Revision != m.Revision || known.Alert != "" {
		return errOvertaken
	}
	a.OpenTime, m.Alert = tx.Now, a.ID
	if len(now.SealedHook) > 0 {
		a.Notes = []store.AlertNote{{Type: store.AlertOpenedEvent, State: store.NotePending}}
		if err := tx.QueueAlertNote(a, store.AlertOpenedEvent); err != nil {
			return err
		}
	}
	if err := tx.PutAlertMark(m); err != nil {
		return err
	}
	return tx.PutAlert(a)
}

// CloseAlert closes the alert of a threshold. Keep remembers that there was one, so
// that there is no other in its period.
func (s *Service) CloseAlert(ctx context.Context, st *store.Store, organization string, m store.AlertMark, reason string, keep bool) (closed bool, err error) {
	c := store.Change{
		Scope: store.Everything(), Organization: organization, Actor: "system", Method: CloseAlertMethod, Target: AlertName(organization, m.Alert),
		Reason: reason,
	}
	_, _, err = store.Update(ctx, st, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		return struct{}{}, store.Outcome{}, closeAlert(ctx, tx, m, reason, keep)
	})
	if errors.Is(err, errOvertaken) {
		return false, nil
	}
	return err == nil, err
}

func closeAlert(ctx context.Context, tx *store.Tx, m store.AlertMark, reason string, keep bool) error {
	known, err := tx.AlertMark(ctx, m.Key())
	if errors.Is(err, store.ErrNotFound) || err == nil && known.Revision != m.Revision {
		return errOvertaken
	}
	if err != nil {
		return err
	}
	if keep {
		known.Closed = true
		if err := tx.PutAlertMark(known); err != nil {
			return err
		}
	} else {
		tx.DropAlertMark(m.Key())
	}
	return endAlert(ctx, tx, m, reason)
}

// endAlert closes the alert itself, and has the receiver be told if there still is
// one.
func endAlert(ctx context.Context, tx *store.Tx, m store.AlertMark, reason string) error {
	a, err := tx.Alert(ctx, m.Alert)
	if errors.Is(err, store.ErrNotFound) || err == nil && a.State == store.AlertClosed {
		return nil // only what is remembered of it was left
	}
	if err != nil {
		return err
	}
	a.State, a.CloseTime, a.CloseReason = store.AlertClosed, tx.Now, reason
	p, err := tx.AlertPolicy(ctx, m.Policy)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if p.UID == m.PolicyUID && len(p.SealedHook) > 0 {
		a.Notes = append(a.Notes, store.AlertNote{Type: store.AlertClosedEvent, State: store.NotePending})
		if err := tx.QueueAlertNote(a, store.AlertClosedEvent); err != nil {
			return err
		}
	}
	return tx.PutAlert(a)
}

// describeAlert tells people of an alert in a line.
func describeAlert(a store.Alert) string {
	what := a.Metric
	if a.Account != "" {
		what += " of the account " + a.Account
	}
	if a.Threshold.Percent == 0 {
		return fmt.Sprintf("%s: %d, which is at least %d", what, a.Value, a.At)
	}
	return fmt.Sprintf("%s: %d, which is at least %d %% of %d", what, a.Value, a.Threshold.Percent, *a.Limit)
}
