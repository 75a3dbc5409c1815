// Package ledger keeps usage samples and audit lines in SQL: in an SQLite file
// that belongs to one control plane, or in a Postgres database that several
// share. It owns that schema, and nothing of prices, invoices, transports or of
// what an audit line says.
//
// A statement is the same for both databases; what differs is in a dialect. All
// methods may be called from any goroutine.
package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/internal/errs"
)

//go:embed migrations
var migrations embed.FS

// The kinds of database.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// Ledger is a usage ledger and audit log in one database.
type Ledger struct {
	// Immutable after opening.
	write   *sql.DB
	read    *sql.DB // the same as write where one pool does both
	dialect dialect
	id      string
}

var _ billing.Ledger = (*Ledger)(nil)

// dialect is what differs between the databases.
type dialect struct {
	kind     string
	name     string // of the database, for people; no secret
	numbered string // how the statement's parameters begin: ?1 or $1
	reading  *sql.TxOptions
	again    func(error) bool        // the transaction was no more than unlucky
	explain  func(error) *errs.Error // what to do about an error; nil if it is nothing known
}

// sql returns a statement, written with ?1, as the database takes it.
func (d dialect) sql(statement string) string { return strings.ReplaceAll(statement, "?", d.numbered) }

// Kind says which kind of database keeps the ledger.
func (l *Ledger) Kind() string { return l.dialect.kind }

// Name names the database for people. It holds no secret.
func (l *Ledger) Name() string { return l.dialect.name }

// ID is who this ledger is: it was made with the ledger and never changes.
func (l *Ledger) ID() string { return l.id }

// migrate brings the schema up to date, and refuses one that is newer.
func (l *Ledger) migrate(ctx context.Context, kind goose.Dialect, options ...goose.ProviderOption) error {
	scripts, err := fs.Sub(migrations, "migrations/"+l.dialect.kind)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	p, err := goose.NewProvider(kind, l.write, scripts, options...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if have > want {
		return errs.New(errs.Precondition, "LEDGER_NEWER",
			"usage ledger %s was written by a newer version of Covey (schema %d, this one knows %d)", l.dialect.name, have, want).
			WithNext("start that version")
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema: %w", err)
	}
	return nil
}

// identify reads who the ledger is, and makes it somebody when it is new.
func (l *Ledger) identify(ctx context.Context) error {
	fresh := accounts.NewUID("led_", time.Now())
	_, err := l.write.ExecContext(ctx, l.dialect.sql("INSERT INTO identity (one, id) VALUES (1, ?1) ON CONFLICT (one) DO NOTHING"), fresh)
	if err != nil {
		return fmt.Errorf("make identity: %w", err)
	}
	if err := l.write.QueryRowContext(ctx, "SELECT id FROM identity").Scan(&l.id); err != nil {
		return fmt.Errorf("read identity: %w", err)
	}
	return nil
}

// explain turns what the database says into what to do about it.
func (l *Ledger) explain(err error) error {
	var known *errs.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if known = l.dialect.explain(err); known != nil {
		return known.WithCause(err)
	}
	return fmt.Errorf("usage ledger %s: %w", l.dialect.name, err)
}

// triesMax bounds how often a transaction that met another one is made.
const triesMax = 10

// inTx makes one writing transaction. What f does may be done more than once.
func (l *Ledger) inTx(ctx context.Context, f func(*sql.Tx) error) (err error) {
	for range triesMax {
		if err = l.tryTx(ctx, f); err == nil || !l.dialect.again(err) {
			break
		}
	}
	return l.explain(err)
}

func (l *Ledger) tryTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := l.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin ledger transaction: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit ledger transaction: %w", err)
	}
	return nil
}

// reading calls f with one state of the ledger.
func (l *Ledger) reading(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := l.read.BeginTx(ctx, l.dialect.reading)
	if err != nil {
		return l.explain(fmt.Errorf("begin reading: %w", err))
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return l.explain(f(tx))
}

// Close closes the ledger after the last method call has returned.
func (l *Ledger) Close() error {
	err := l.write.Close()
	if l.read != l.write {
		err = errors.Join(err, l.read.Close())
	}
	if err != nil {
		return fmt.Errorf("close usage ledger: %w", err)
	}
	return nil
}
