package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/coveymq/covey/billing"
)

// SUM of integers is of another type in Postgres.
const sumUsage = `SELECT meter, CAST(sum(value) AS BIGINT) FROM usage_raw WHERE account = ?1 AND hour BETWEEN ?2 AND ?3 GROUP BY meter`

// Usage implements [billing.Ledger].
func (l *Ledger) Usage(ctx context.Context, accounts []string, from, to time.Time) ([]billing.AccountUsage, error) {
	out := make([]billing.AccountUsage, len(accounts))
	err := l.reading(ctx, func(tx *sql.Tx) error { // one state of the ledger for all accounts
		for i, key := range accounts {
			out[i].Account = key
			if err := l.accountUsage(ctx, tx, &out[i], billing.WindowOf(from), billing.WindowOf(to)); err != nil {
				return fmt.Errorf("read usage: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (l *Ledger) accountUsage(ctx context.Context, tx *sql.Tx, u *billing.AccountUsage, first, last int64) error {
	var id, reported int64
	err := tx.QueryRowContext(ctx, l.dialect.sql("SELECT id, reported FROM account WHERE key = ?1"), u.Account).Scan(&id, &reported)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	u.Reported = time.UnixMilli(reported).UTC()
	rows, err := tx.QueryContext(ctx, l.dialect.sql(sumUsage), id, first, last)
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

// ReportedSince lists the accounts of which something was recorded at a time or
// after it, by the clock of who recorded it.
func (l *Ledger) ReportedSince(ctx context.Context, since time.Time) ([]string, error) {
	var keys []string
	err := l.reading(ctx, func(tx *sql.Tx) error {
		keys = nil
		return eachText(ctx, tx, l.dialect.sql("SELECT key FROM account WHERE reported >= ?1 ORDER BY key"), since.UnixMilli(), func(key string) {
			keys = append(keys, key)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read reported accounts: %w", err)
	}
	return keys, nil
}

func eachText(ctx context.Context, tx *sql.Tx, query string, arg any, each func(string)) error {
	rows, err := tx.QueryContext(ctx, query, arg)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		each(text)
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
) AS kept GROUP BY account, class, meter`

// Receipts implements [billing.Ledger].
func (l *Ledger) Receipts(ctx context.Context, incarnation string, windows []int64) ([]billing.Receipt, error) {
	out := make([]billing.Receipt, len(windows))
	for i, w := range windows {
		out[i].Window = w
	}
	err := l.reading(ctx, func(tx *sql.Tx) error {
		var id int64
		err := tx.QueryRowContext(ctx, l.dialect.sql("SELECT id FROM incarnation WHERE name = ?1"), incarnation).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read incarnation: %w", err)
		}
		for i := range out {
			if err := l.receipt(ctx, tx, id, &out[i]); err != nil {
				return fmt.Errorf("read receipt: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (l *Ledger) receipt(ctx context.Context, tx *sql.Tx, incarnation int64, r *billing.Receipt) error {
	rows, err := tx.QueryContext(ctx, l.dialect.sql(kept), incarnation, r.Window)
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
	err := l.reading(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, l.dialect.sql("SELECT EXISTS (SELECT 1 FROM account WHERE key = ?1)"), account).Scan(&has)
	})
	return has, err
}
