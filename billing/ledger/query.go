package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/coveymq/covey/billing"
)

const sumUsage = `SELECT meter, sum(value) FROM usage_raw WHERE account = ? AND hour BETWEEN ? AND ? GROUP BY meter`

// Usage implements [billing.Ledger].
func (l *Ledger) Usage(ctx context.Context, accounts []string, from, to time.Time) ([]billing.AccountUsage, error) {
	tx, err := l.read.BeginTx(ctx, nil) // one state of the ledger for all accounts
	if err != nil {
		return nil, fmt.Errorf("begin reading usage: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	out := make([]billing.AccountUsage, len(accounts))
	for i, key := range accounts {
		out[i].Account = key
		if err := accountUsage(ctx, tx, &out[i], billing.WindowOf(from), billing.WindowOf(to)); err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
	}
	return out, nil
}

func accountUsage(ctx context.Context, tx *sql.Tx, u *billing.AccountUsage, first, last int64) error {
	var id, reported int64
	err := tx.QueryRowContext(ctx, "SELECT id, reported FROM account WHERE key = ?", u.Account).Scan(&id, &reported)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	u.Reported = time.UnixMilli(reported).UTC()
	rows, err := tx.QueryContext(ctx, sumUsage, id, first, last)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	for rows.Next() {
		var meter billing.Meter
		var sum int64
		if err := rows.Scan(&meter, &sum); err != nil {
			return err
		}
		switch meter {
		case billing.Published:
			u.Published = sum
		case billing.PublishedBytes:
			u.PublishedBytes = sum
		case billing.Delivered:
			u.Delivered = sum
		case billing.DeliveredBytes:
			u.DeliveredBytes = sum
		}
	}
	return rows.Err()
}

// A sample that is both recorded and quarantined is one sample.
const kept = `SELECT account, class, meter, max(value) FROM (
    SELECT a.key AS account, u.class, u.meter, u.value
    FROM usage_raw u JOIN account a ON a.id = u.account
    WHERE u.incarnation = ?1 AND u.hour = ?2
    UNION ALL
    SELECT account, class, meter, value FROM quarantine WHERE incarnation = ?1 AND hour = ?2
) GROUP BY account, class, meter`

// Receipts implements [billing.Ledger].
func (l *Ledger) Receipts(ctx context.Context, incarnation string, windows []int64) ([]billing.Receipt, error) {
	tx, err := l.read.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin reading receipts: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	out := make([]billing.Receipt, len(windows))
	for i, w := range windows {
		out[i].Window = w
	}
	var id int64
	err = tx.QueryRowContext(ctx, "SELECT id FROM incarnation WHERE name = ?", incarnation).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read incarnation: %w", err)
	}
	for i := range out {
		if err := receipt(ctx, tx, id, &out[i]); err != nil {
			return nil, fmt.Errorf("read receipt: %w", err)
		}
	}
	return out, nil
}

func receipt(ctx context.Context, tx *sql.Tx, incarnation int64, r *billing.Receipt) error {
	rows, err := tx.QueryContext(ctx, kept, incarnation, r.Window)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	for rows.Next() {
		var account, class string
		var meter billing.Meter
		var value int64
		if err := rows.Scan(&account, &class, &meter, &value); err != nil {
			return err
		}
		r.Add(account, class, meter, value)
	}
	return rows.Err()
}

// HasAccount implements [billing.Ledger].
func (l *Ledger) HasAccount(ctx context.Context, account string) (bool, error) {
	var has bool
	err := l.read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM account WHERE key = ?)", account).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("read account: %w", err)
	}
	return has, nil
}
