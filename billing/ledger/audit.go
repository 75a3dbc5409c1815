package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
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

const raiseAuditEnd = `INSERT INTO audit_end (chain, sequence) VALUES (?1, ?2)
ON CONFLICT (chain) DO UPDATE SET sequence = excluded.sequence WHERE excluded.sequence > audit_end.sequence`

// AppendAudit keeps audit lines, all or none, and returns after they are
// durable. A line that is there already stays; another one in its place is an
// error, because nothing of an audit log is ever replaced.
func (l *Ledger) AppendAudit(ctx context.Context, lines []AuditLine) error {
	return l.inTx(ctx, func(tx *sql.Tx) error {
		ends := map[string]int64{}
		for _, line := range lines {
			if err := l.appendAudit(ctx, tx, line); err != nil {
				return fmt.Errorf("keep audit entry %s/%d: %w", line.Chain, line.Sequence, err)
			}
			ends[line.Chain] = max(ends[line.Chain], line.Sequence)
		}
		for _, chain := range slices.Sorted(maps.Keys(ends)) {
			if _, err := tx.ExecContext(ctx, l.dialect.sql(raiseAuditEnd), chain, ends[chain]); err != nil {
				return fmt.Errorf("keep end of audit log %s: %w", chain, err)
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
		return tx.QueryRowContext(ctx, l.dialect.sql("SELECT COALESCE(max(sequence), 0) FROM audit_end WHERE chain = ?1"), chain).Scan(&end)
	})
	return end, err
}

// AuditChains lists the chains that have lines, in order.
func (l *Ledger) AuditChains(ctx context.Context) ([]string, error) {
	var chains []string
	err := l.reading(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT chain FROM audit_end ORDER BY chain")
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

// AuditBacklog is what a sink has not taken of one chain.
type AuditBacklog struct {
	Chain string
	After int64 // it has everything up to this
	End   int64
}

// AuditBehind lists at most limit chains of which a sink has not taken
// everything. A new sink has taken nothing.
func (l *Ledger) AuditBehind(ctx context.Context, sink string, limit int) ([]AuditBacklog, error) {
	var behind []AuditBacklog
	err := l.reading(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, l.dialect.sql(`SELECT e.chain, COALESCE(c.sequence, 0), e.sequence FROM audit_end e
LEFT JOIN audit_cursor c ON c.chain = e.chain AND c.sink = ?1
WHERE e.sequence > COALESCE(c.sequence, 0) ORDER BY e.chain LIMIT ?2`), sink, limit)
		if err != nil {
			return fmt.Errorf("read backlog of audit sink: %w", err)
		}
		defer func() { _ = rows.Close() }() // rows.Err tells
		for rows.Next() {
			var b AuditBacklog
			if err := rows.Scan(&b.Chain, &b.After, &b.End); err != nil {
				return fmt.Errorf("read backlog of audit sink: %w", err)
			}
			behind = append(behind, b)
		}
		return rows.Err()
	})
	return behind, err
}

// AuditTaken keeps how far a sink is in chains. It never goes back.
func (l *Ledger) AuditTaken(ctx context.Context, sink string, taken map[string]int64) error {
	return l.inTx(ctx, func(tx *sql.Tx) error {
		for _, chain := range slices.Sorted(maps.Keys(taken)) {
			_, err := tx.ExecContext(ctx, l.dialect.sql(`INSERT INTO audit_cursor (sink, chain, sequence) VALUES (?1, ?2, ?3)
ON CONFLICT (sink, chain) DO UPDATE SET sequence = excluded.sequence WHERE excluded.sequence > audit_cursor.sequence`), sink, chain, taken[chain])
			if err != nil {
				return fmt.Errorf("keep cursor of audit sink: %w", err)
			}
		}
		return nil
	})
}
