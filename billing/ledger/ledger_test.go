package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/billing/ledger/ledgertest"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

func open(tb testing.TB, path string) *ledger.Ledger {
	tb.Helper()
	l, err := ledger.Open(context.Background(), path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

func TestConformance(t *testing.T) {
	ledgertest.Run(t, func(tb testing.TB) billing.Ledger {
		tb.Helper()
		return open(tb, filepath.Join(tb.TempDir(), "usage.db"))
	})
	ledgertest.RunAudit(t, func(tb testing.TB) ledgertest.Audit {
		tb.Helper()
		return open(tb, filepath.Join(tb.TempDir(), "usage.db"))
	})
}

func TestALedgerKeepsItsIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	first := open(t, path)
	if again := open(t, path); again.ID() != first.ID() || first.ID() == "" {
		t.Errorf("identities %q and %q", first.ID(), again.ID())
	}
	if other := open(t, filepath.Join(t.TempDir(), "usage.db")); other.ID() == first.ID() {
		t.Error("two ledgers are one")
	}
}

var published = billing.Sample{
	Incarnation: "one", Account: "A", Class: billing.ClassStandard,
	Meter: billing.Published, Window: 3600, Value: 7,
}

func TestRowsAreThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a dir?", "usage #1.db")
	l, err := ledger.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Record(t.Context(), []billing.Sample{published}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("file mode %v, want 0600", mode)
	}
	got, err := open(t, path).Usage(t.Context(), []string{"A"}, time.Unix(3600, 0), time.Unix(3600, 0))
	if err != nil || got[0].Published != 7 {
		t.Errorf("usage %v, %v", got, err)
	}
}

func TestFailedRecordKeepsNothing(t *testing.T) {
	testFailedRecord(t, open(t, filepath.Join(t.TempDir(), "usage.db")))
}

func testFailedRecord(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	bad := published
	bad.Meter, bad.Value = billing.Delivered, -1
	if _, err := l.Record(t.Context(), []billing.Sample{published, bad}); err == nil {
		t.Fatal("recorded a negative value")
	}
	if has, err := l.HasAccount(t.Context(), "A"); err != nil || has {
		t.Errorf("half of a failed record was kept (%v, %v)", has, err)
	}
}

func TestDamagedFileIsRefusedWithAdvice(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"not a database": func([]byte) []byte { return []byte("these are not the rows you are looking for\n") },
		"header":         func(b []byte) []byte { copy(b, "Sqlite"); return b },
		"pages": func(b []byte) []byte {
			for i := 4096; i < len(b); i++ {
				b[i] ^= 0x5a
			}
			return b
		},
		"cut": func(b []byte) []byte { return b[:len(b)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "usage.db")
			l := open(t, path)
			if _, err := l.Record(t.Context(), []billing.Sample{published}); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = ledger.Open(t.Context(), path)
			var e *errs.Error
			if !errors.As(err, &e) || e.Reason != "LEDGER_DAMAGED" {
				t.Errorf("Open = %v", err)
			}
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	l := open(b, filepath.Join(b.TempDir(), "usage.db"))
	samples := make([]billing.Sample, 8000)
	for i := range samples {
		samples[i] = published
		samples[i].Account = fmt.Sprintf("A%055d", i/4)
		samples[i].Meter = []billing.Meter{
			billing.Published, billing.PublishedBytes, billing.Delivered, billing.DeliveredBytes,
		}[i%4]
	}
	for b.Loop() {
		for i := range samples {
			samples[i].Value++
		}
		if _, err := l.Record(b.Context(), samples); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(samples))/b.Elapsed().Seconds(), "samples/s")
}
