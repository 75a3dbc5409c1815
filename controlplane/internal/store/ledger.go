package store

import (
	"context"
	"errors"

	"github.com/coveymq/covey/internal/errs"
)

const ledgerKey = root + "sys/ledger"

// LedgerRef says which usage ledger the installation has.
type LedgerRef struct {
	Stored

	ID       string `json:"id"` // who the ledger is, wherever it is
	Kind     string `json:"kind"`
	Name     string `json:"name"`               // where it was when it was registered; no secret
	Replaced string `json:"replaced,omitempty"` // the id of the one before, if it was replaced
}

// kindSQLite is a ledger that one control plane alone can have.
const kindSQLite = "sqlite"

// RegisterLedger makes a ledger the installation's, if it has none yet, and
// refuses another one than it has: two control planes that count into two
// ledgers would each bill a part. Adopt replaces the one that it has.
func (s *Store) RegisterLedger(ctx context.Context, ref LedgerRef, adopt bool) error {
	var have LedgerRef
	switch err := s.newView("").load(ctx, ledgerKey, &have); {
	case err == nil && have.ID == ref.ID:
		return nil
	case err == nil && !adopt:
		return otherLedger(have, ref)
	case err != nil && !isNotFound(err):
		return err
	}
	c := Change{Scope: Everything(), Actor: "system", Method: "RegisterLedger", Target: "installation", Reason: ref.Kind + " " + ref.Name}
	_, _, err := Update(ctx, s, c, func(ctx context.Context, tx *Tx) (struct{}, Outcome, error) {
		var now LedgerRef
		err := tx.load(ctx, ledgerKey, &now)
		if err != nil && !isNotFound(err) {
			return struct{}{}, Outcome{}, err
		}
		if now.ID != have.ID { // another control plane was faster
			return struct{}{}, Outcome{}, errLedgerRace
		}
		ref.Replaced = now.ID
		return struct{}{}, Outcome{}, tx.put(ledgerKey, ref)
	})
	if errors.Is(err, errLedgerRace) {
		return s.RegisterLedger(ctx, ref, false)
	}
	return err
}

// SwitchLedger makes a copy of the installation's ledger its ledger: in one step,
// after which no control plane starts with the old one. Doing it again does no
// harm.
func (s *Store) SwitchLedger(ctx context.Context, from string, ref LedgerRef) error {
	c := Change{Scope: Everything(), Actor: "system", Method: "SwitchLedger", Target: "installation", Reason: ref.Kind + " " + ref.Name}
	_, _, err := Update(ctx, s, c, func(ctx context.Context, tx *Tx) (struct{}, Outcome, error) {
		var have LedgerRef
		err := tx.load(ctx, ledgerKey, &have)
		switch {
		case err != nil && !isNotFound(err):
			return struct{}{}, Outcome{}, err
		case err == nil && have.ID != from && have.ID != ref.ID:
			return struct{}{}, Outcome{}, errs.New(errs.Precondition, "LEDGER_OTHER", "this installation's usage ledger is another one (%s) than the one that was copied", have.Name).
				WithNext("copy the one that it has")
		}
		ref.Replaced = from
		return struct{}{}, Outcome{}, tx.put(ledgerKey, ref)
	})
	return err
}

// Ledger reads which usage ledger the installation has; ErrNotFound if it has none
// yet.
func (s *Store) Ledger(ctx context.Context) (LedgerRef, error) {
	var have LedgerRef
	return have, s.newView("").load(ctx, ledgerKey, &have)
}

var errLedgerRace = errors.New("ledger registered meanwhile")

func otherLedger(have, ref LedgerRef) error {
	if ref.Kind == kindSQLite {
		return errs.New(errs.Precondition, "LEDGER_OTHER", "this installation keeps its usage ledger elsewhere (%s), and a ledger in an SQLite file belongs to one control plane", have.Name).
			WithNext("use Postgres: give every control plane the same --ledger-url-file")
	}
	return errs.New(errs.Precondition, "LEDGER_OTHER", "this installation's usage ledger is another one (%s)", have.Name).
		WithNext("give the URL of that one; or, if it is lost for good, --adopt-ledger")
}
