package alerts

import (
	"context"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// turn is one look at one organization.
type turn struct {
	*Engine
	*organization
	now     time.Time
	changes int
	visited map[store.AlertMarkKey]bool
}

// settle brings the alerts of an organization in line with what is used.
func (e *Engine) settle(ctx context.Context, o *organization, r readings, now time.Time) error {
	t := &turn{Engine: e, organization: o, now: now, visited: map[store.AlertMarkKey]bool{}}
	for _, p := range o.policies {
		if p.Disabled {
			continue
		}
		rule := p.Rule.Thresholds()
		for _, s := range o.about(p) {
			for _, th := range rule {
				if err := t.threshold(ctx, p, s, th, r.of(o, p, s)); err != nil {
					return err
				}
			}
		}
	}
	return t.leftovers(ctx)
}

// threshold looks at one threshold.
func (t *turn) threshold(ctx context.Context, p policy, s subject, th accounts.AlertThreshold, r reading) error {
	key := store.AlertMarkKey{PolicyUID: p.UID, Account: s.id, Threshold: th}
	mark, known := t.marks[key]
	if known && mark.AccountUID != s.uid {
		return nil // of an account that had the name before: a leftover
	}
	at, limited := th.At(s.limits[p.Metric])
	is := threshold{rule: p.Rule, monthly: p.metric.Monthly, at: at, limited: limited}
	var m *store.AlertMark
	if known {
		t.visited[key], m = true, &mark
	}
	next, reason := is.decide(r, m, t.now)
	if next == nothing || t.changes >= changesMax {
		return nil
	}
	t.changes++
	if !known {
		mark = store.AlertMark{
			Policy: p.ID, PolicyUID: p.UID, Account: s.id, AccountUID: s.uid, Threshold: th, Since: t.now.UTC().Truncate(time.Second),
		}
		if p.metric.Monthly {
			mark.Period = accounts.AlertPeriod(t.now)
		}
	}
	if next != open {
		return t.apply(ctx, next, mark, reason)
	}
	return t.openOne(ctx, p, mark, store.Alert{
		ID: store.NewAlertID(time.Now()), Policy: p.ID, PolicyUID: p.UID, Metric: p.Metric, Account: s.id, AccountUID: s.uid, Severity: p.Severity,
		State: store.AlertOpen, Threshold: th, At: at, Limit: limitOf(th, s.limits[p.Metric]), Value: r.value, Period: mark.Period,
	})
}

// limitOf keeps the limit of a percentage only.
func limitOf(th accounts.AlertThreshold, limit *int64) *int64 {
	if th.Percent == 0 {
		return nil
	}
	return limit
}

// openOne opens an alert, if there is room for another one. What there is no room
// for opens when there is.
func (t *turn) openOne(ctx context.Context, p policy, m store.AlertMark, a store.Alert) error {
	if t.open >= openMax {
		if !t.full {
			t.log.WarnContext(ctx, "an organization has too many open alerts for more", "organization", t.name, "open", t.open)
		}
		t.full = true
		return nil
	}
	defer t.changed()
	opened, err := t.tenancy.OpenAlert(ctx, t.store, t.name, p.AlertPolicy, m, a)
	if opened {
		t.open++
	}
	return err
}

// apply makes a step that opens nothing.
func (t *turn) apply(ctx context.Context, next step, m store.AlertMark, reason string) error {
	defer t.changed()
	switch next {
	case hold:
		return t.store.HoldAlert(ctx, t.name, m)
	case release, forget:
		return t.store.ReleaseAlert(ctx, t.name, m)
	case shut, settle:
		_, err := t.tenancy.CloseAlert(ctx, t.store, t.name, m, reason, next == settle)
		return err
	case nothing, open:
	}
	return nil
}

// changed has the organization be read anew the next time, because what is
// remembered of it is old, and receivers be told at once.
func (t *turn) changed() {
	t.head = dirty
	t.wake()
}

// leftovers closes what is not looked at any more: of policies that are gone, that
// changed or that rest, and of accounts that are gone.
func (t *turn) leftovers(ctx context.Context) error {
	policies := make(map[string]policy, len(t.policies))
	for _, p := range t.policies {
		policies[p.UID] = p
	}
	for key, m := range t.marks {
		if t.visited[key] || t.changes >= changesMax {
			continue
		}
		p, there := policies[m.PolicyUID]
		// Of a month that goes on there must be no second alert, whatever becomes of
		// the policy meanwhile.
		keep := there && m.Period != "" && m.Period == accounts.AlertPeriod(t.now) && t.lives(m)
		if keep && m.Closed {
			continue
		}
		t.changes++
		next := shut
		switch {
		case m.Alert == "" || m.Closed:
			next = release
		case keep:
			next = settle
		}
		if err := t.apply(ctx, next, m, t.whyLeft(p, there, m)); err != nil {
			return err
		}
	}
	return nil
}

// lives reports whether what a mark is of is there.
func (t *turn) lives(m store.AlertMark) bool {
	if m.Account == "" {
		return true
	}
	i, ok := t.byID[m.Account]
	return ok && t.subjects[i].uid == m.AccountUID
}

func (t *turn) whyLeft(p policy, there bool, m store.AlertMark) string {
	switch {
	case !there:
		return closedDeleted
	case m.Period != "" && m.Period != accounts.AlertPeriod(t.now):
		return closedPeriod
	case p.Disabled:
		return closedDisabled
	case !t.lives(m):
		return closedAccount
	}
	return closedChanged
}
