package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// CopiedLedger says what a copy of the ledger holds.
type CopiedLedger struct {
	Tables   []ledger.CopiedTable
	From, To string // for people; no secret
}

// CopyLedger copies the ledger in the data directory into the Postgres database of
// cfg.LedgerURL, verifies it, and makes it the installation's. No control plane may
// run on the data directory; one that runs elsewhere and has this ledger does not
// exist, since a ledger in a file belongs to one. Cut off, it is run again.
func CopyLedger(ctx context.Context, cfg Config, progress func(table string, rows int64)) (out CopiedLedger, err error) {
	if cfg.LedgerURL.IsZero() {
		return out, errs.New(errs.Invalid, "LEDGER_URL_MISSING", "no database is given that the ledger is to be copied into")
	}
	s, err := openForMaintenance(ctx, cfg) // it has the data directory for itself now
	if s != nil {
		defer func() { err = errors.Join(err, s.Close()) }()
	}
	if err != nil {
		return out, err
	}
	path := s.dir.join(ledgerFile)
	if _, err := os.Stat(path); err != nil {
		return out, errs.New(errs.Precondition, "LEDGER_MISSING", "there is no ledger in the data directory: %s", path).
			WithNext("give the data directory of the control plane that has it").WithCause(err)
	}
	from, err := ledger.Open(ctx, path)
	if err != nil {
		return out, err
	}
	s.onClose(from.Close)
	to, err := ledger.OpenPostgres(ctx, cfg.LedgerURL.Reveal())
	if err != nil {
		return out, err
	}
	s.onClose(to.Close)
	out.From, out.To = from.Name(), to.Name()
	done, err := s.mayCopy(ctx, from, to)
	if done || err != nil {
		return out, err
	}
	if out.Tables, err = ledger.Copy(ctx, from, to, progress); err != nil {
		return out, err
	}
	if err := s.store.SwitchLedger(ctx, from.ID(), store.LedgerRef{ID: to.ID(), Kind: to.Kind(), Name: to.Name()}); err != nil {
		return out, err
	}
	s.log.InfoContext(ctx, "ledger copied", slog.String("from", out.From), slog.String("to", out.To))
	return out, nil
}

// mayCopy refuses a ledger that is not the installation's. It reports whether the
// copy is that already.
func (s *Server) mayCopy(ctx context.Context, from, to *ledger.Ledger) (bool, error) {
	have, err := s.store.Ledger(ctx)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read which ledger is the installation's: %w", err)
	case have.ID == to.ID() && have.Replaced == from.ID():
		return true, nil
	case have.ID != from.ID():
		return false, errs.New(errs.Precondition, "LEDGER_OTHER", "this installation's usage ledger is another one (%s) than %s", have.Name, from.Name()).
			WithNext("copy the one that it has")
	}
	return false, nil
}
