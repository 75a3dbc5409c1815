package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/coveymq/covey/internal/errs"
)

const (
	// readersMax bounds the connections that queries share.
	readersMax = 4
	// wholeCheckMax is the size up to which a start checks every page (some
	// 0.2 s); of a larger file it checks what the schema and the newest rows touch.
	wholeCheckMax = 64 << 20
)

// Open opens the ledger in the SQLite file path, and creates or migrates it if
// need be. A damaged file is refused with advice.
//
// One connection writes, so that a transaction sees what it changes; a few
// others read beside it.
func Open(ctx context.Context, path string) (*Ledger, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	l := &Ledger{dialect: sqliteDialect(path)}
	var err error
	if l.write, err = sql.Open("sqlite", dsn(path, "immediate")); err != nil {
		return nil, fmt.Errorf("open usage ledger: %w", err)
	}
	l.write.SetMaxOpenConns(1)
	if l.read, err = sql.Open("sqlite", dsn(path, "deferred")+"&_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(fmt.Errorf("open usage ledger: %w", err), l.write.Close())
	}
	l.read.SetMaxOpenConns(readersMax)
	if err := l.prepare(ctx, path); err != nil {
		return nil, errors.Join(l.explain(err), l.Close())
	}
	return l, nil
}

// create makes the file, readable by its owner only; SQLite would use the umask.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make directory of usage ledger: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open usage ledger: %w", err)
	}
	return f.Close()
}

// dsn asks for a log that survives a power cut, and to wait for another process
// (a backup, say) rather than fail.
func dsn(path, lock string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?_txlock=" + lock +
		"&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
}

func (l *Ledger) prepare(ctx context.Context, path string) error {
	if err := l.check(ctx, path); err != nil {
		return err
	}
	if err := l.migrate(ctx, goose.DialectSQLite3); err != nil {
		return err
	}
	if err := l.touch(ctx); err != nil {
		return err
	}
	return l.identify(ctx)
}

var errDamaged = errors.New("integrity check")

// check looks for damage before anything is written.
func (l *Ledger) check(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at file: %w", err)
	}
	if info.Size() > wholeCheckMax {
		var tables int
		return l.write.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables)
	}
	var finding string
	if err := l.write.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&finding); err != nil {
		return err
	}
	if finding != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, finding)
	}
	return nil
}

// touch walks down each tree that a Record will use.
func (l *Ledger) touch(ctx context.Context) error {
	for _, query := range []string{
		"SELECT count(*) FROM (SELECT 1 FROM account ORDER BY id DESC LIMIT 1)",
		"SELECT count(*) FROM (SELECT 1 FROM account ORDER BY key DESC LIMIT 1)",
		"SELECT count(*) FROM (SELECT 1 FROM incarnation ORDER BY name DESC LIMIT 1)",
		"SELECT count(*) FROM (SELECT value FROM usage_raw ORDER BY account DESC, hour DESC LIMIT 1)",
		"SELECT count(*) FROM (SELECT value FROM usage_raw ORDER BY incarnation DESC, hour DESC LIMIT 1)",
	} {
		var n int
		if err := l.write.QueryRowContext(ctx, query).Scan(&n); err != nil {
			return fmt.Errorf("read tables: %w", err)
		}
	}
	return nil
}

func sqliteDialect(path string) dialect {
	return dialect{
		kind: SQLite, name: path, numbered: "?",
		again:   func(error) bool { return false }, // writers take turns
		explain: func(err error) *errs.Error { return explainSQLite(err, path) },
	}
}

func explainSQLite(err error, path string) *errs.Error {
	var e *sqlite.Error
	code := 0
	if errors.As(err, &e) {
		code = e.Code() & 0xff // without the extended part
	}
	switch {
	case errors.Is(err, errDamaged), code == sqlite3.SQLITE_CORRUPT, code == sqlite3.SQLITE_NOTADB:
		return errs.New(errs.Precondition, "LEDGER_DAMAGED", "usage ledger %s is damaged", path).
			WithNext("restore it from a backup, or move it away; brokers report again what they still hold")
	case code == sqlite3.SQLITE_FULL:
		return errs.New(errs.Exhausted, "LEDGER_NO_SPACE", "no disk space for usage ledger %s", path).
			WithNext("free some space there")
	case code == sqlite3.SQLITE_BUSY:
		return errs.New(errs.Unavailable, "LEDGER_BUSY", "usage ledger %s is in use by another process", path).
			WithNext("stop that process")
	}
	return nil
}
