package alerts

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// Whatever is read, and whenever: a month has one alert of a threshold at most; of
// the moment there is one after it was reached for as long as it must be, and it
// closes only when it is known to be below.
func TestOncePerPeriod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		monthly := rapid.Bool().Draw(t, "monthly")
		rule := accounts.AlertRule{Fixed: 10}
		if !monthly {
			rule.Hold = time.Duration(rapid.IntRange(0, 3).Draw(t, "hold")) * time.Minute
		}
		now := time.Date(2027, 1, 30, 0, 0, 0, 0, time.UTC)
		var mark *store.AlertMark
		opened := map[string]int{}
		var reachedSince time.Time
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 24*3600).Draw(t, "pass")) * time.Second)
			if rapid.Bool().Draw(t, "soon") {
				now = now.Truncate(time.Minute).Add(time.Minute)
			}
			r := reading{value: rapid.Int64Range(5, 15).Draw(t, "value"), known: rapid.IntRange(0, 5).Draw(t, "known") > 0, least: rapid.Bool().Draw(t, "least")}
			is := threshold{rule: rule, monthly: monthly, at: 10, limited: rapid.IntRange(0, 9).Draw(t, "limited") > 0}
			reached := is.limited && r.known && r.value >= 10
			below := !is.limited || r.known && !r.least && r.value < 10
			if reached && reachedSince.IsZero() {
				reachedSince = now
			}
			if below {
				reachedSince = time.Time{}
			}
			next, reason := is.decide(r, mark, now)
			switch next {
			case open:
				if !reached || mark != nil && mark.Alert != "" || now.Sub(reachedSince) < rule.Hold {
					t.Fatalf("it opens at %+v, reached since %v", r, reachedSince)
				}
				if monthly {
					opened[accounts.AlertPeriod(now)]++
				}
				if mark == nil {
					mark = &store.AlertMark{Since: now, Period: periodOf(monthly, now)}
				}
				mark.Alert = "alt_x"
			case hold:
				mark = &store.AlertMark{Since: now}
			case release, forget:
				if mark.Alert != "" && !mark.Closed {
					t.Fatal("an alert is forgotten that is open")
				}
				mark = nil
			case shut, settle:
				if mark.Alert == "" || mark.Closed || reason == closedBelow && !below || reason == "" {
					t.Fatalf("it closes at %+v for %q", r, reason)
				}
				if next == settle {
					mark.Closed = true
				} else {
					mark = nil
				}
			case nothing:
				if reached && rule.Hold == 0 && mark == nil {
					t.Fatal("it is reached, and nothing happens")
				}
			}
		}
		for period, n := range opened {
			if n > 1 {
				t.Fatalf("%d alerts in %s", n, period)
			}
		}
	})
}

func periodOf(monthly bool, now time.Time) string {
	if monthly {
		return accounts.AlertPeriod(now)
	}
	return ""
}

// What is added up in parts is what the ledger has: at once of the last day, and
// within an hour of the days before.
func TestUsageIsAddedUpAsInTheLedger(t *testing.T) {
	l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	record := func(account string, at time.Time, value int64) {
		t.Helper()
		s := billing.Sample{Incarnation: "one", Account: account, Class: billing.ClassStandard, Meter: billing.DeliveredBytes, Window: billing.WindowOf(at), Value: value}
		if _, err := l.Record(t.Context(), []billing.Sample{s}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Date(2027, 3, 20, 12, 30, 0, 0, time.UTC)
	u := newUsage(l)
	read := func() { t.Helper(); readUsage(t, u, now) }
	want := func(what string, one, two int64) {
		t.Helper()
		if a, b := u.value(accounts.MetricData, "A").value, u.value(accounts.MetricData, "B").value; a != one || b != two {
			t.Errorf("%s: %d and %d, want %d and %d", what, a, b, one, two)
		}
	}
	record("A", now.AddDate(0, -1, 0), 1000) // last month's
	record("A", accounts.MonthOf(now), 1)
	record("A", now.AddDate(0, 0, -2), 2)
	record("A", now, 4)
	read()
	want("at first", 7, 0)
	u.asked = time.Now() // the ledger's clock is the real one
	record("B", now, 8)
	record("A", now, 5)
	read()
	want("what is new", 8, 8)
	record("A", now.AddDate(0, 0, -5), 100)
	now = now.Add(61 * time.Minute)
	record("A", now, 16)
	read()
	want("what was late", 124, 8)
	now = time.Date(2027, 4, 1, 0, 10, 0, 0, time.UTC)
	record("B", now, 3)
	read()
	want("the next month", 0, 3)
	if u.value(accounts.MetricData, "C").known {
		t.Error("an account is known that nobody looks at")
	}
}

func readUsage(t *testing.T, u *usage, now time.Time) {
	t.Helper()
	if err := u.read(context.Background(), []string{"A", "B"}, now); err != nil {
		t.Fatal(err)
	}
}
