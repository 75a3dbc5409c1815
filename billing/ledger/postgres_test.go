package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/billing/ledger/ledgertest"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/testpostgres"
)

func openPostgres(tb testing.TB, url string) *ledger.Ledger {
	tb.Helper()
	l, err := ledger.OpenPostgres(context.Background(), url)
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

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	var e *errs.Error
	if !errors.As(err, &e) || e.Reason != reason {
		t.Errorf("error %v, want %s", err, reason)
	}
}

// The server is shared: making one takes seconds.
func TestPostgres(t *testing.T) {
	server := testpostgres.Start(t)
	t.Run("conformance", func(t *testing.T) {
		ledgertest.Run(t, func(tb testing.TB) billing.Ledger {
			tb.Helper()
			return openPostgres(tb, server.Database(tb))
		})
		ledgertest.RunAudit(t, func(tb testing.TB) ledgertest.Audit {
			tb.Helper()
			return openPostgres(tb, server.Database(tb))
		})
	})
	t.Run("copy", func(t *testing.T) { testCopy(t, server.Database(t)) })
	t.Run("copy that differs", func(t *testing.T) { testCopyDiffers(t, server.Database(t)) })
	t.Run("copy of all tables", func(t *testing.T) { testCopyIsWhole(t, server.Database(t)) })
	t.Run("many open an empty database at once", func(t *testing.T) { testManyOpen(t, server.Database(t)) })
	t.Run("many record at once", func(t *testing.T) { testManyRecord(t, server.Database(t)) })
	t.Run("failed record keeps nothing", func(t *testing.T) { testFailedRecord(t, openPostgres(t, server.Database(t))) })
	t.Run("newer", func(t *testing.T) {
		url := server.Database(t)
		if err := openPostgres(t, url).Close(); err != nil {
			t.Fatal(err)
		}
		name := strings.Split(strings.TrimPrefix(url, "postgres:///"), "?")[0]
		server.Exec(t, name, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)")
		_, err := ledger.OpenPostgres(t.Context(), url)
		wantReason(t, err, "LEDGER_NEWER")
	})
	t.Run("refusals", func(t *testing.T) {
		url := server.Database(t)
		_, err := ledger.OpenPostgres(t.Context(), strings.Replace(url, "covey", "nothere", 1))
		wantReason(t, err, "LEDGER_MISSING")
		_, err = ledger.OpenPostgres(t.Context(), strings.Replace(url, "user=covey", "user=stranger", 1))
		wantReason(t, err, "LEDGER_DENIED")
	})
	t.Run("gone and back", func(t *testing.T) {
		l := openPostgres(t, server.Database(t))
		server.Down(t)
		_, err := l.Record(t.Context(), []billing.Sample{published})
		wantReason(t, err, "LEDGER_UNAVAILABLE")
		_, err = l.Usage(t.Context(), []string{"A"}, time.Unix(0, 0), time.Unix(7200, 0))
		wantReason(t, err, "LEDGER_UNAVAILABLE")
		server.Up(t)
		if _, err := l.Record(t.Context(), []billing.Sample{published}); err != nil {
			t.Errorf("after its return: %v", err)
		}
	})
}

func TestAURLOfPostgresIsNeverQuoted(t *testing.T) {
	for _, url := range []string{"postgres://u:s3cret@[::1", "mysql://u:s3cret@host/x?port=y", "postgres://u:s3cret@127.0.0.1:1/db?connect_timeout=1"} {
		_, err := ledger.OpenPostgres(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("open %s: %v", url, err)
		}
	}
}

func testManyOpen(t *testing.T, url string) {
	t.Helper()
	ids := make([]string, 6)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			l, err := ledger.OpenPostgres(t.Context(), url)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = l.ID()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("one ledger is several: %v", ids)
		}
	}
}

// Several control planes hear the same brokers, in any order.
func testManyRecord(t *testing.T, url string) {
	t.Helper()
	const writers, rounds, accounts = 4, 8, 20
	var wg sync.WaitGroup
	for w := range writers {
		l := openPostgres(t, url)
		wg.Go(func() {
			for r := range rounds {
				var samples []billing.Sample
				for a := range accounts {
					s := published
					// Each writer lists the same rows from another end.
					s.Account, s.Incarnation = fmt.Sprint("A", (a*(w+1)+w)%accounts), fmt.Sprint("i", (a+w)%3)
					s.Value = int64(1 + r)
					samples = append(samples, s)
				}
				if _, err := l.Record(t.Context(), samples); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l := openPostgres(t, url)
	for i := range 3 {
		got, err := l.Receipts(t.Context(), fmt.Sprint("i", i), []int64{published.Window})
		if err != nil || got[0].Series == 0 || got[0].Total != uint64(got[0].Series)*rounds {
			t.Errorf("receipt of i%d: %+v, %v", i, got, err)
		}
	}
}
