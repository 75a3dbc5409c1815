package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// testAlerts holds a store to what it keeps of alerts.
func testAlerts(t *testing.T, s *store.Store) {
	ctx := t.Context()
	for _, org := range []string{"acme", "globex"} {
		mustApply(t, s, change(org, ""), createOrg)
	}
	make1 := func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateAlertPolicy(ctx, store.AlertPolicy{ID: "data", UID: "alp_1", Rule: accounts.AlertRule{Percents: []int32{50}}})
	}
	mustApply(t, s, change("acme", ""), make1)
	if _, err := apply(t, s, change("acme", ""), make1); !errors.Is(err, store.ErrExists) {
		t.Errorf("a second policy of that name: %v", err)
	}
	if names, err := s.AlertingOrganizations(ctx); err != nil || len(names) != 1 || names[0] != "acme" {
		t.Errorf("looked at are %v, %v", names, err)
	}
	if _, err := view(t, s, "globex").AlertPolicy(ctx, "data"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another organization's: %v", err)
	}
	heads, err := s.Heads(ctx, []string{"acme", "globex"})
	if err != nil || heads["acme"] <= heads["globex"] {
		t.Errorf("heads %v, %v", heads, err)
	}
	testMarks(t, s)
	testNotes(t, s)
	if err := s.EndAlerting(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	if names, err := s.AlertingOrganizations(ctx); err != nil || len(names) != 1 {
		t.Errorf("with a policy left, looked at are %v, %v", names, err)
	}
	mustApply(t, s, change("acme", ""), func(_ context.Context, tx *store.Tx) error { return tx.DeleteAlertPolicy("data") })
	if err := errors.Join(s.ForgetAlerts(ctx, "acme", time.Unix(10_000, 0), 10), s.EndAlerting(ctx, "acme")); err != nil {
		t.Fatal(err)
	}
	if names, err := s.AlertingOrganizations(ctx); err != nil || len(names) != 0 {
		t.Errorf("with nothing left, looked at are %v, %v", names, err)
	}
}

func testMarks(t *testing.T, s *store.Store) {
	t.Helper()
	at := time.Unix(5000, 0).UTC()
	m := store.AlertMark{Policy: "data", PolicyUID: "alp_1", Account: "a", Threshold: accounts.AlertThreshold{Percent: 50}, Since: at}
	later := m
	later.Since = at.Add(time.Hour)
	for _, one := range []store.AlertMark{m, later} { // the second is not taken
		if err := s.HoldAlert(t.Context(), "acme", one); err != nil {
			t.Fatal(err)
		}
	}
	marks, err := view(t, s, "acme").AlertMarks(t.Context())
	if err != nil || len(marks) != 1 || !marks[0].Since.Equal(at) {
		t.Fatalf("marks %+v, %v", marks, err)
	}
	old := marks[0]
	old.Revision--
	if err := s.ReleaseAlert(t.Context(), "acme", old); err != nil {
		t.Fatal(err)
	}
	if again, err := view(t, s, "acme").AlertMark(t.Context(), m.Key()); err != nil || again.Revision != marks[0].Revision {
		t.Errorf("a mark that is another by now is gone: %+v, %v", again, err)
	}
	if err := s.ReleaseAlert(t.Context(), "acme", marks[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := view(t, s, "acme").AlertMark(t.Context(), m.Key()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("released: %v", err)
	}
}

func testNotes(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	a := store.Alert{
		ID: store.NewAlertID(time.Unix(6000, 0)), PolicyUID: "alp_1", State: store.AlertClosed, CloseTime: time.Unix(7000, 0),
		Notes: []store.AlertNote{{Type: store.AlertOpenedEvent, State: store.NotePending}, {Type: store.AlertClosedEvent, State: store.NotePending}},
	}
	mustApply(t, s, change("acme", ""), func(_ context.Context, tx *store.Tx) error {
		return errors.Join(tx.PutAlert(a), tx.QueueAlertNote(a, store.AlertClosedEvent), tx.QueueAlertNote(a, store.AlertOpenedEvent))
	})
	due, err := s.DueNotes(ctx, "", 1)
	if err != nil || len(due) != 1 || due[0].Type != store.AlertOpenedEvent || due[0].Policy != "alp_1" {
		t.Fatalf("due %+v, %v", due, err)
	}
	rest, err := s.DueNotes(ctx, due[0].After, 9)
	if err != nil || len(rest) != 1 || rest[0].Type != store.AlertClosedEvent {
		t.Fatalf("then %+v, %v", rest, err)
	}
	for _, n := range []store.AlertNote{
		{Type: store.AlertOpenedEvent, State: store.NotePending, Attempts: 1, Error: "no"}, {Type: store.AlertOpenedEvent, State: store.NoteDelivered, Attempts: 2},
	} {
		if err := s.NoteAttempt(ctx, due[0], n); err != nil {
			t.Fatal(err)
		}
		if got, err := view(t, s, "acme").Alert(ctx, a.ID); err != nil || got.Notes[0] != n || got.Notes[1] != a.Notes[1] {
			t.Errorf("noted %+v, %v", got.Notes, err)
		}
		if left, err := s.DueNotes(ctx, "", 9); err != nil || (len(left) == 2) != (n.State == store.NotePending) {
			t.Errorf("still due %+v, %v", left, err)
		}
	}
	if err := s.ForgetAlerts(ctx, "acme", time.Unix(7000, 0), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := view(t, s, "acme").Alert(ctx, a.ID); err != nil {
		t.Errorf("an alert is forgotten too early: %v", err)
	}
	if err := s.ForgetAlerts(ctx, "acme", time.Unix(7001, 0), 1); err != nil {
		t.Fatal(err)
	}
	if left, err := s.DueNotes(ctx, "", 9); err != nil || len(left) != 0 {
		t.Errorf("due of one that is forgotten %+v, %v", left, err)
	}
	if err := s.NoteAttempt(ctx, rest[0], store.AlertNote{State: store.NoteFailed}); err != nil {
		t.Errorf("an attempt of one that is forgotten: %v", err)
	}
}
