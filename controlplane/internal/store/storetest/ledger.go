package storetest

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

func testLedgers(t *testing.T, s *store.Store) {
	lite := store.LedgerRef{ID: "led_a", Kind: "sqlite", Name: "/a/ledger.db"}
	for range 2 {
		if err := s.RegisterLedger(t.Context(), lite, false); err != nil {
			t.Fatal(err)
		}
	}
	second := store.LedgerRef{ID: "led_b", Kind: "sqlite", Name: "/b/ledger.db"}
	err := s.RegisterLedger(t.Context(), second, false)
	var e *errs.Error
	if !errors.As(err, &e) || e.Reason != "LEDGER_OTHER" || !strings.Contains(e.Public(), "use Postgres") || !strings.Contains(e.Public(), lite.Name) {
		t.Errorf("a second SQLite ledger: %v", err)
	}
	shared := store.LedgerRef{ID: "led_c", Kind: "postgres", Name: "postgres db/covey"}
	if err := s.RegisterLedger(t.Context(), shared, false); !errors.As(err, &e) || e.Reason != "LEDGER_OTHER" {
		t.Errorf("another ledger: %v", err)
	}
	if err := s.RegisterLedger(t.Context(), shared, true); err != nil {
		t.Errorf("adopt: %v", err)
	}
	if err := s.RegisterLedger(t.Context(), lite, false); err == nil {
		t.Error("the replaced ledger is taken back")
	}
}

// Of several that register at once one wins, and the others learn that.
func testLedgerRace(t *testing.T, s *store.Store) {
	const many = 5
	errors := make([]error, many)
	var wg sync.WaitGroup
	for i := range errors {
		wg.Go(func() {
			id := "led_" + string(rune('a'+i))
			errors[i] = s.RegisterLedger(t.Context(), store.LedgerRef{ID: id, Kind: "sqlite", Name: id}, false)
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errors {
		if err == nil {
			won++
		} else if errs.CodeOf(err) != errs.Precondition {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d ledgers are the installation's", won, many)
	}
}
