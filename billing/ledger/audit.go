package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/coveymq/covey/internal/errs"
)

// AuditLine is one entry of an audit log, as the ledger keeps it. What it says
// is not the ledger's business.
type AuditLine struct {
	Chain    string // the organization, or "" for the installation itself
	Sequence int64  // from 1, without gaps
	Time     time.Time
	Hash     string
	Entry    string // JSON
}

const insertAudit = `INSERT INTO audit (chain, sequence, time, hash, entry) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (chain, sequence) DO NOTHING`

// AppendAudit keeps audit lines, all or none, and returns after they are
// durable. A line that is there already stays; another one in its place is an
// error, because nothing of an audit log is ever replaced.
func (l *Ledger) AppendAudit(ctx context.Context, lines []AuditLine) error {
	return l.inTx(ctx, func(tx *sql.Tx) error {
		for _, line := range lines {
			if err := l.appendAudit(ctx, tx, line); err != nil {
				return fmt.Errorf("keep audit entry %s/%d: %w", line.Chain, line.Sequence, err)
			}
		}
		return nil
	})
}

func (l *Ledger) appendAudit(ctx context.Context, tx *sql.Tx, line AuditLine) error {
	done, err := tx.ExecContext(ctx, l.dialect.sql(insertAudit), line.Chain, line.Sequence, line.Time.UnixMilli(), line.Hash, line.Entry)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	var hash string
	err = tx.QueryRowContext(ctx, l.dialect.sql("SELECT hash FROM audit WHERE chain = ?1 AND sequence = ?2"), line.Chain, line.Sequence).Scan(&hash)
	if err == nil && hash != line.Hash {
		return errs.New(errs.Precondition, "AUDIT_FORKED", "usage ledger %s holds another audit entry %d of %q", l.dialect.name, line.Sequence, line.Chain).
			WithNext("the store or the ledger was restored to an older state: see docs/operations/audit.md")
	}
	return err
}

// AuditLines reads at most limit lines of a chain that come after a sequence,
// in order.
func (l *Ledger) AuditLines(ctx context.Context, chain string, after int64, limit int) ([]AuditLine, error) {
	var out []AuditLine
	err := l.reading(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, l.dialect.sql(`SELECT sequence, time, hash, entry FROM audit
WHERE chain = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3`), chain, after, limit)
		if err != nil {
			return fmt.Errorf("read audit log: %w", err)
		}
		defer func() { _ = rows.Close() }() // rows.Err tells
		for rows.Next() {
			line := AuditLine{Chain: chain}
			var millis int64
			if err := rows.Scan(&line.Sequence, &millis, &line.Hash, &line.Entry); err != nil {
				return fmt.Errorf("read audit log: %w", err)
			}
			line.Time = time.UnixMilli(millis).UTC()
			out = append(out, line)
		}
		return rows.Err()
	})
	return out, err
}

// AuditEnd reads how long a chain is.
func (l *Ledger) AuditEnd(ctx context.Context, chain string) (int64, error) {
	var end int64
	err := l.reading(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, l.dialect.sql("SELECT COALESCE(max(sequence), 0) FROM audit WHERE chain = ?1"), chain).Scan(&end)
	})
	return end, err
}

// AuditChains lists the chains that have lines, after one of them and in order.
func (l *Ledger) AuditChains(ctx context.Context) ([]string, error) {
	var chains []string
	err := l.reading(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT DISTINCT chain FROM audit ORDER BY chain")
		if err != nil {
			return fmt.Errorf("list audit logs: %w", err)
		}
		defer func() { _ = rows.Close() }() // rows.Err tells
		for rows.Next() {
			var chain string
			if err := rows.Scan(&chain); err != nil {
				return fmt.Errorf("list audit logs: %w", err)
			}
			chains = append(chains, chain)
		}
		return rows.Err()
	})
	return chains, err
}
