package limit_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/limit"
)

var november = time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)

func bounded(t *testing.T, m *limit.Month, now time.Time) *limit.Gate {
	t.Helper()
	q, err := accounts.ParseQuota(accounts.MonthlyBytes, "1000")
	if err != nil {
		t.Fatal(err)
	}
	return limit.NewAccountGate(nil, accounts.Quotas{accounts.MonthlyBytes: q}, nil, m, now)
}

// TestMonthEnds refuses until the month ends in UTC, and then begins anew.
func TestMonthEnds(t *testing.T) {
	m := &limit.Month{}
	g := bounded(t, m, november)
	m.Add(400) // delivered
	if !g.Publish(599, november).Admits() || !g.Publish(1000, november).Admits() {
		t.Fatal("what is below the bound was refused")
	}
	v := g.Publish(1, november)
	if v.Limit != accounts.MonthlyBytes || v.Policy != accounts.Refuse || v.Wait != time.Second {
		t.Errorf("%+v", v)
	}
	if g.Deliver(1, november).Admits() {
		t.Error("a delivery was admitted")
	}
	zone := time.FixedZone("west", -8*3600)
	if g.Publish(1, november.In(zone)).Admits() {
		t.Error("the month has another end elsewhere")
	}
	if !g.Publish(1, november.Add(time.Second)).Admits() || !g.Deliver(1, november.Add(time.Second)).Admits() {
		t.Error("the next month did not begin")
	}
}

// TestMonthsAreKept goes over restarts within a month, and begins anew in
// another and when the file is damaged.
func TestMonthsAreKept(t *testing.T) {
	dir := t.TempDir()
	reopen := func(now time.Time) *limit.Months {
		t.Helper()
		m, err := limit.OpenMonths(dir, now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	save := func(m *limit.Months, now time.Time) {
		t.Helper()
		if err := m.Save(now); err != nil {
			t.Fatal(err)
		}
	}
	exhausted := func(m *limit.Months, now time.Time) bool { return !bounded(t, m.Of("A"), now).Publish(1, now).Admits() }

	m := reopen(november)
	if exhausted(m, november) {
		t.Fatal("a new count is used up")
	}
	m.Of("A").Add(2000)
	save(m, november)
	if !exhausted(reopen(november), november) {
		t.Error("the restart forgot")
	}
	december := november.Add(time.Minute)
	if exhausted(reopen(december), december) {
		t.Error("last month counts")
	}
	save(m, december) // it runs on into the next month
	if exhausted(reopen(december), december) {
		t.Error("last month was saved as this one")
	}
	if err := os.WriteFile(filepath.Join(dir, "data-of-month.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if exhausted(reopen(november), november) {
		t.Error("a damaged file counts")
	}
}
