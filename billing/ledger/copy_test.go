package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/billing/ledger"
)

// filled is a ledger with rows in every table.
func filled(t *testing.T, path string) *ledger.Ledger {
	t.Helper()
	l := open(t, path)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same rows each time
	meters := []billing.Meter{billing.Published, billing.Delivered, billing.PublishedBytes, billing.DeliveredBytes}
	var samples []billing.Sample
	for i := range 2600 {
		samples = append(samples, billing.Sample{
			Account: fmt.Sprintf("A%d", i%70), Class: "client", Meter: meters[i%len(meters)],
			Window: int64(i/70) * 3600, Incarnation: fmt.Sprintf("inc-%d", i%3), Value: 1 + r.Int64N(1<<50),
		})
	}
	if _, err := l.Record(t.Context(), samples); err != nil {
		t.Fatal(err)
	}
	unknown := samples[0]
	unknown.Account = "AUNKNOWN"
	if err := l.Quarantine(t.Context(), []billing.Sample{unknown}, "unknown account"); err != nil {
		t.Fatal(err)
	}
	var lines []ledger.AuditLine
	for i := range 1500 {
		lines = append(lines, ledger.AuditLine{Chain: "acme", Sequence: int64(i + 1), Time: time.UnixMilli(int64(i)), Hash: fmt.Sprint(i), Entry: `{"ünïcode":"\u0000"}`})
	}
	lines = append(lines, ledger.AuditLine{Chain: "", Sequence: 1, Time: time.UnixMilli(9), Hash: "h", Entry: "{}"})
	if err := l.AppendAudit(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	if err := l.AuditTaken(t.Context(), "file", map[string]int64{"acme": 700}); err != nil {
		t.Fatal(err)
	}
	return l
}

func ignore(string, int64) {}

// testCopy copies a ledger that is cut off again and again, changes the source in
// between, and compares.
func testCopy(t *testing.T, url string) {
	t.Helper()
	from, to := filled(t, filepath.Join(t.TempDir(), "from.db")), openPostgres(t, url)
	for cut := 1; cut < 5; cut++ {
		ctx, cancel := context.WithCancel(t.Context())
		batches := 0
		_, err := ledger.Copy(ctx, from, to, func(table string, _ int64) {
			if cut > 1 && table == "account" {
				t.Errorf("after a cut it begins anew")
			}
			if batches++; batches == cut {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cut off after %d batches: %v", cut, err)
		}
	}
	late := billing.Sample{Account: "A0", Class: "client", Meter: billing.Published, Window: 0, Incarnation: "inc-0", Value: 1 << 60}
	if _, err := from.Record(t.Context(), []billing.Sample{late}); err != nil {
		t.Fatal(err)
	}
	copied, err := ledger.Copy(t.Context(), from, to, ignore)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range copied {
		if table.Rows == 0 {
			t.Errorf("the test has no rows in %s", table.Name)
		}
	}
	if from.ID() == to.ID() {
		t.Error("the copy has the identity of the source")
	}
	accounts := []string{"A0", "A1", "A69"}
	want, err := from.Usage(t.Context(), accounts, time.Unix(0, 0), time.Unix(1<<30, 0))
	if err != nil {
		t.Fatal(err)
	}
	got, err := to.Usage(t.Context(), accounts, time.Unix(0, 0), time.Unix(1<<30, 0))
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("usage is %v, not %v: %v", got, want, err)
	}
	// New rows are numbered after the old ones.
	late.Account, late.Incarnation = "ANEW", "inc-new"
	if _, err := to.Record(t.Context(), []billing.Sample{late}); err != nil {
		t.Errorf("record in the copy: %v", err)
	}
	_, err = ledger.Copy(t.Context(), from, to, ignore)
	wantReason(t, err, "LEDGER_NOT_EMPTY")
	_, err = ledger.Copy(t.Context(), to, from, ignore)
	wantReason(t, err, "LEDGER_COPY_TARGET")
}

// testCopyDiffers copies while somebody else writes into the target.
func testCopyDiffers(t *testing.T, url string) {
	t.Helper()
	from, to := filled(t, filepath.Join(t.TempDir(), "from.db")), openPostgres(t, url)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = ledger.Copy(t.Context(), from, to, func(table string, _ int64) {
		if table == "usage_raw" {
			if _, err := conn.Exec(t.Context(), "UPDATE usage_raw SET value = value + 1 WHERE account = 1 AND hour = 0"); err != nil {
				t.Error(err)
			}
		}
	})
	wantReason(t, err, "LEDGER_COPY_DIFFERS")
}

// testCopyIsWhole fails when somebody makes a table that a copy does not know.
func testCopyIsWhole(t *testing.T, url string) {
	t.Helper()
	from, to := filled(t, filepath.Join(t.TempDir(), "from.db")), openPostgres(t, url)
	copied, err := ledger.Copy(t.Context(), from, to, ignore)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"identity": true, "goose_db_version": true}
	for _, table := range copied {
		known[table.Name] = true
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("table %s is not copied", name)
		}
	}
}
