package alerts

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

func percents(p ...int32) accounts.AlertRule { return accounts.AlertRule{Percents: p} }

// midMonth is a time of this month of which no hour is the month's first.
func midMonth() time.Time { return time.Now() }

func TestAThresholdHasOneAlertInItsMonth(t *testing.T) {
	b := newBed(t)
	b.policy(t, "data", accounts.MetricData, "", percents(50, 80))
	now := midMonth()
	one, two := b.engine(), b.engine() // of two that both believe that they lead
	for _, data := range []int64{0, 49, 50, 79, 80, 500, 10, 500} {
		b.set(func(w *world) { w.data = data })
		var wg sync.WaitGroup
		for _, e := range []*Engine{one, two} {
			wg.Go(func() {
				for range 3 {
					if err := e.Turn(t.Context(), now); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		want := map[int64]int{0: 0, 49: 0, 50: 2, 79: 2}[data]
		if data >= 80 || data == 10 {
			want = 4
		}
		if n := len(b.alerts(t)); n != want {
			t.Fatalf("at %d there are %d alerts, want %d:\n%s", data, n, want, b.states(t))
		}
	}
	// At 10 all closed, and none of them opened again.
	if n := b.count(t, store.AlertClosed); n != 4 {
		t.Errorf("%d are closed:\n%s", n, b.states(t))
	}
	next := accounts.MonthOf(now).AddDate(0, 1, 1)
	b.set(func(w *world) { w.data = 60 })
	for range 3 {
		b.turn(t, one, next)
	}
	if n := b.count(t, store.AlertOpen); n != 2 || len(b.alerts(t)) != 6 {
		t.Errorf("%d are open in the next month:\n%s", n, b.states(t))
	}
	for range 2 {
		b.deliver(t, two)
	}
	if got := b.receiver.got(); len(got) != 10 || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 10 {
		t.Errorf("told %v", got)
	}
}

func TestOneThatIsOpenClosesWithItsMonth(t *testing.T) {
	b := newBed(t)
	b.policy(t, "data", accounts.MetricData, "a", percents(50))
	b.set(func(w *world) { w.data = 60 })
	e := b.engine()
	b.turn(t, e, midMonth())
	b.turn(t, e, accounts.MonthOf(midMonth()).AddDate(0, 1, 1))
	if got := b.states(t); got != `["a",{"percent":50},"closed","period-ended"]` {
		t.Error(got)
	}
}

func TestWhatIsOfTheMomentOpensAgain(t *testing.T) {
	b := newBed(t)
	b.policy(t, "crowd", accounts.MetricConnections, "a", accounts.AlertRule{Fixed: 10, Hold: time.Minute})
	e := b.engine()
	now := midMonth()
	for i, s := range []struct {
		after            time.Duration
		connections      int64
		missing          int
		failing          error
		wantAll, wantOff int
	}{
		{0, 10, 0, nil, 0, 0},               // reached, and not yet for long
		{30 * time.Second, 9, 0, nil, 0, 0}, // below: the hold begins anew
		{31 * time.Second, 10, 0, nil, 0, 0},
		{80 * time.Second, 5, 1, nil, 0, 0}, // a broker is missing: there may be more
		{92 * time.Second, 12, 1, nil, 1, 0},
		{93 * time.Second, 0, 1, nil, 1, 0}, // still
		{94 * time.Second, 0, 0, context.DeadlineExceeded, 1, 0},
		{95 * time.Second, 9, 0, nil, 1, 1},
		{96 * time.Second, 10, 0, nil, 1, 1},
		{200 * time.Second, 10, 0, nil, 2, 1},
	} {
		b.set(func(w *world) { w.connections, w.missing, w.failing = s.connections, s.missing, s.failing })
		if i == 5 {
			e = b.engine() // another one leads
		}
		for range 2 {
			if err := e.Turn(t.Context(), now.Add(s.after)); !errors.Is(err, s.failing) {
				t.Fatal(err)
			}
		}
		if all, off := len(b.alerts(t)), b.count(t, store.AlertClosed); all != s.wantAll || off != s.wantOff {
			t.Fatalf("step %d: %d alerts, %d closed, want %d and %d:\n%s", i, all, off, s.wantAll, s.wantOff, b.states(t))
		}
	}
}

// A leader is killed after it fired and before it told, and another one after it told
// and before it noted that.
func TestAKilledLeaderLosesNothing(t *testing.T) {
	b := newBed(t)
	b.policy(t, "data", accounts.MetricData, "a", percents(50))
	b.set(func(w *world) { w.data = 60 })
	b.turn(t, b.engine(), midMonth())
	dying, kill := context.WithCancel(t.Context())
	b.receiver.on = kill
	var wg sync.WaitGroup
	if err := b.engine().dispatch(dying, &wg); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	b.receiver.mu.Lock()
	b.receiver.on = nil
	b.receiver.mu.Unlock()
	if a := b.alerts(t)[0]; a.Notes[0].State != store.NotePending {
		t.Fatalf("it is noted: %+v", a.Notes)
	}
	last := b.engine()
	b.deliver(t, last)
	b.deliver(t, last)
	a := b.alerts(t)[0]
	id := NotificationID(a.ID, store.AlertOpenedEvent)
	if got := b.receiver.posts[id]; len(got) != 2 || got[0] != got[1] || len(b.receiver.got()) != 2 {
		t.Errorf("told %v of %s", b.receiver.posts, id)
	}
	if a.Notes[0].State != store.NoteDelivered || a.Notes[0].Attempts != 1 {
		t.Errorf("noted %+v", a.Notes)
	}
}

func TestAReceiverThatFailsIsToldLater(t *testing.T) {
	b := newBed(t)
	b.policy(t, "data", accounts.MetricData, "a", percents(50))
	e := b.engine()
	b.set(func(w *world) { w.data = 60 })
	b.turn(t, e, midMonth())
	b.set(func(w *world) { w.data = 0 })
	b.turn(t, e, midMonth())
	b.receiver.answers(http.StatusFound) // which nobody follows
	b.deliver(t, e)
	b.deliver(t, e) // it rests
	a := b.alerts(t)[0]
	if n := a.Notes[0]; n.State != store.NotePending || n.Attempts != 1 || !strings.Contains(n.Error, "302") || len(b.receiver.got()) != 1 {
		t.Errorf("noted %+v, told %v", a.Notes, b.receiver.got())
	}
	b.receiver.answers(http.StatusOK)
	e = b.engine() // which remembers nothing of the receiver
	b.deliver(t, e)
	a = b.alerts(t)[0]
	if got := b.receiver.got(); len(got) != 3 || got[1] != a.ID+".opened" || got[2] != a.ID+".closed" {
		t.Errorf("told %v", got)
	}
	for _, n := range a.Notes {
		if n.State != store.NoteDelivered {
			t.Errorf("noted %+v", n)
		}
	}
}

func TestANotificationIsGivenUpAfterADay(t *testing.T) {
	b := newBed(t)
	b.policy(t, "data", accounts.MetricData, "a", percents(50))
	b.set(func(w *world) { w.data = 60 })
	e := b.engine()
	b.turn(t, e, midMonth())
	b.change(t, func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.Alert(ctx, b.alerts(t)[0].ID)
		if err != nil {
			return err
		}
		a.OpenTime = a.OpenTime.Add(-givenUpAfter - time.Minute)
		return tx.PutAlert(a)
	})
	b.receiver.answers(http.StatusInternalServerError)
	b.deliver(t, e)
	if n := b.alerts(t)[0].Notes[0]; n.State != store.NoteFailed || n.Error == "" {
		t.Errorf("noted %+v", n)
	}
	if due, err := b.store.DueNotes(t.Context(), "", 10); err != nil || len(due) != 0 {
		t.Errorf("due %v, %v", due, err)
	}
}

func TestWhatIsNotLookedAtAnyMoreCloses(t *testing.T) {
	update := func(f func(*tenancy.AlertPolicyFields)) func(*testing.T, *bed) {
		return func(t *testing.T, b *bed) {
			b.change(t, func(ctx context.Context, tx *store.Tx) error {
				_, err := b.tenancy.UpdateAlertPolicy(ctx, tx, "crowd", "", func(p *tenancy.AlertPolicyFields) error { f(p); return nil })
				return err
			})
		}
	}
	account := func(f func(*store.Tx, store.Account) error) func(*testing.T, *bed) {
		return func(t *testing.T, b *bed) {
			b.change(t, func(ctx context.Context, tx *store.Tx) error {
				a, err := tx.Account(ctx, "a")
				if err != nil {
					return err
				}
				return f(tx, a)
			})
		}
	}
	for name, c := range map[string]struct {
		f     func(*testing.T, *bed)
		want  string
		notes int
	}{
		"policy deleted": {func(t *testing.T, b *bed) {
			b.change(t, func(ctx context.Context, tx *store.Tx) error {
				return b.tenancy.DeleteAlertPolicy(ctx, tx, "crowd", "")
			})
		}, closedDeleted, 1},
		"policy rests":    {update(func(p *tenancy.AlertPolicyFields) { p.Disabled = true }), closedDisabled, 2},
		"policy changed":  {update(func(p *tenancy.AlertPolicyFields) { p.Rule.Percents = []int32{60} }), closedChanged, 2},
		"webhook gone":    {update(func(p *tenancy.AlertPolicyFields) { p.Rule.Percents, p.Hook = []int32{60}, &tenancy.AlertHook{} }), closedChanged, 1},
		"account deleted": {account(func(tx *store.Tx, a store.Account) error { a.DeleteTime = tx.Now; return tx.PutAccount(a) }), closedAccount, 2},
		"no limit":        {account(func(tx *store.Tx, a store.Account) error { a.Limits.Connections = nil; return tx.PutAccount(a) }), closedNoLimit, 2},
		"another account": {account(func(tx *store.Tx, a store.Account) error { a.UID = "acc_other"; return tx.PutAccount(a) }), closedAccount, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.policy(t, "crowd", accounts.MetricConnections, "a", percents(50))
			e := b.engine()
			b.set(func(w *world) { w.connections = 55 })
			b.turn(t, e, midMonth())
			if b.count(t, store.AlertOpen) != 1 {
				t.Fatal(b.states(t))
			}
			c.f(t, b)
			b.turn(t, e, midMonth())
			list := b.alerts(t)
			if a := list[len(list)-1]; a.State != store.AlertClosed || a.CloseReason != c.want || len(a.Notes) != c.notes {
				t.Errorf("%s: %+v", b.states(t), a.Notes)
			}
			b.deliver(t, e)
			if due, err := b.store.DueNotes(t.Context(), "", 10); err != nil || len(due) != 0 {
				t.Errorf("due %v, %v", due, err)
			}
		})
	}
}

// A year of alerts does not grow the store, and who has neither policies nor alerts is
// not looked at.
func TestOldAlertsEnd(t *testing.T) {
	b := newBed(t)
	b.policy(t, "crowd", accounts.MetricConnections, "a", percents(50))
	e := b.engine()
	now := midMonth()
	for range 3 {
		for _, n := range []int64{60, 0} {
			b.set(func(w *world) { w.connections = n })
			b.turn(t, e, now)
		}
	}
	if len(b.alerts(t)) != 3 {
		t.Fatal(b.states(t))
	}
	if err := b.store.ForgetAlerts(t.Context(), "acme", now.Add(-time.Hour), 2); err != nil {
		t.Fatal(err)
	}
	if len(b.alerts(t)) != 2 {
		t.Error("more are kept than may be")
	}
	b.change(t, func(ctx context.Context, tx *store.Tx) error {
		return b.tenancy.DeleteAlertPolicy(ctx, tx, "crowd", "")
	})
	for _, after := range []time.Duration{0, 2 * time.Hour, closedKept + time.Hour, closedKept + 3*time.Hour} {
		b.turn(t, e, now.Add(after))
	}
	if len(b.alerts(t)) != 0 {
		t.Error(b.states(t))
	}
	if names, err := b.store.AlertingOrganizations(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("looked at are %v, %v", names, err)
	}
}
