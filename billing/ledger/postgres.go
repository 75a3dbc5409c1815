package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/coveymq/covey/internal/errs"
)

const (
	postgresConns       = 8                // of one control plane
	postgresIdleFor     = 5 * time.Minute  // an idle connection is given back
	postgresConnectWait = 5 * time.Second  // unless the URL says otherwise
	postgresOpenWithin  = 60 * time.Second // another control plane may be migrating the schema
)

// OpenPostgres opens the ledger in a Postgres database, and makes or migrates
// its tables if need be. Several control planes may use it at once. The URL is
// a secret: it is never part of an error.
func OpenPostgres(ctx context.Context, url string) (*Ledger, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		// What pgx says may quote the URL.
		return nil, errs.New(errs.Invalid, "LEDGER_URL_INVALID", "the URL of the usage ledger is not one of a Postgres database").
			WithNext("give postgres://user:password@host:5432/database")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = postgresConnectWait
	}
	if _, set := cfg.RuntimeParams["application_name"]; !set {
		cfg.RuntimeParams["application_name"] = "covey"
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(postgresConns)
	db.SetMaxIdleConns(postgresConns)
	db.SetConnMaxIdleTime(postgresIdleFor)
	l := &Ledger{write: db, read: db, dialect: postgresDialect(cfg)}
	if err := l.preparePostgres(ctx); err != nil {
		return nil, errors.Join(l.explain(err), l.Close())
	}
	return l, nil
}

func (l *Ledger) preparePostgres(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, postgresOpenWithin)
	defer cancel()
	if err := l.write.PingContext(ctx); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// Control planes that start at once take turns.
	turns, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("make migration lock: %w", err)
	}
	if err := l.migrate(ctx, goose.DialectPostgres, goose.WithSessionLocker(turns)); err != nil {
		return err
	}
	return l.identify(ctx)
}

func postgresDialect(cfg *pgx.ConnConfig) dialect {
	name := fmt.Sprintf("postgres %s/%s", net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port)), cfg.Database)
	return dialect{
		kind: Postgres, name: name, numbered: "$",
		reading: &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
		again:   postgresAgain,
		explain: func(err error) *errs.Error { return explainPostgres(err, name) },
	}
}

// The conditions of Postgres that we know what to do about. Classes have two
// characters.
const (
	pgSerialization = "40001"
	pgDeadlock      = "40P01"
	pgReadOnly      = "25006"
	pgNoDatabase    = "3D000"
	pgNoPrivilege   = "42501"
	pgDiskFull      = "53100"
	pgConnections   = "53300"
	pgClassAuth     = "28"
	pgClassShutdown = "57"
	pgClassLink     = "08"
)

func pgCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func postgresAgain(err error) bool {
	code := pgCode(err)
	return code == pgSerialization || code == pgDeadlock
}

func explainPostgres(err error, name string) *errs.Error {
	code := pgCode(err)
	var connect *pgconn.ConnectError
	var network *net.OpError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && code == "" && !errors.As(err, &connect):
		return nil
	case code == pgNoDatabase:
		return errs.New(errs.Precondition, "LEDGER_MISSING", "there is no such database for the usage ledger: %s", name).
			WithNext("create it, owned by the user of the URL")
	case code == pgNoPrivilege, len(code) == 5 && code[:2] == pgClassAuth:
		return errs.New(errs.Denied, "LEDGER_DENIED", "the database of the usage ledger does not let us in: %s", name).
			WithNext("check user and password, and that the user owns the database")
	case code == pgReadOnly:
		return errs.New(errs.Unavailable, "LEDGER_READ_ONLY", "the database of the usage ledger is read-only: %s", name).
			WithNext("point the URL at the primary, for example with target_session_attrs=read-write")
	case code == pgDiskFull:
		return errs.New(errs.Exhausted, "LEDGER_NO_SPACE", "no disk space for usage ledger %s", name).WithNext("free some space there")
	case code == pgConnections:
		return errs.New(errs.Unavailable, "LEDGER_BUSY", "the database of the usage ledger takes no more connections: %s", name).
			WithNext("raise max_connections: each control plane takes up to %d", postgresConns)
	case errors.As(err, &connect), errors.As(err, &network), len(code) == 5 && (code[:2] == pgClassShutdown || code[:2] == pgClassLink):
		return errs.New(errs.Unavailable, "LEDGER_UNAVAILABLE", "the database of the usage ledger does not answer: %s", name).
			WithNext("check that it runs and that the URL is right").WithRetry(time.Second)
	}
	return nil
}
