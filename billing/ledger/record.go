package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coveymq/covey/billing"
)

// Record implements [billing.Ledger].
func (l *Ledger) Record(ctx context.Context, samples []billing.Sample) (billing.Recorded, error) {
	samples = inOrder(samples)
	var done billing.Recorded
	err := l.inTx(ctx, func(tx *sql.Tx) error {
		done = billing.Recorded{}
		w, err := newWriter(ctx, l.dialect, tx)
		if err != nil {
			return err
		}
		defer w.close()
		if err := w.identify(ctx, samples, true); err != nil {
			return err
		}
		for i := range samples {
			if err := w.record(ctx, &samples[i], &done); err != nil {
				return fmt.Errorf("record sample: %w", err)
			}
		}
		return w.releaseQuarantined(ctx)
	})
	if err != nil {
		return billing.Recorded{}, err
	}
	return done, nil
}

// Quarantine implements [billing.Ledger].
func (l *Ledger) Quarantine(ctx context.Context, samples []billing.Sample, reason string) error {
	samples = inOrder(samples)
	return l.inTx(ctx, func(tx *sql.Tx) error {
		w, err := newWriter(ctx, l.dialect, tx)
		if err != nil {
			return err
		}
		defer w.close()
		if err := w.identify(ctx, samples, false); err != nil {
			return err
		}
		for i := range samples {
			if err := w.quarantine(ctx, &samples[i], reason); err != nil {
				return fmt.Errorf("quarantine sample: %w", err)
			}
		}
		return nil
	})
}

// inOrder returns the samples that say something, in the order in which every
// transaction takes its rows: two of them then wait for each other at most.
func inOrder(samples []billing.Sample) []billing.Sample {
	kept := make([]billing.Sample, 0, len(samples))
	for _, s := range samples {
		if s.Value != 0 {
			kept = append(kept, s)
		}
	}
	slices.SortStableFunc(kept, func(a, b billing.Sample) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Window, b.Window), cmp.Compare(a.Class, b.Class),
			cmp.Compare(a.Meter, b.Meter), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return kept
}

// writer is one transaction's prepared statements and the ids it has looked up.
type writer struct {
	tx           *sql.Tx
	dialect      dialect
	upsert, look *sql.Stmt
	account      *sql.Stmt
	now          time.Time
	accounts     map[string]int64
	incarnations map[string]int64
}

const upsertUsage = `INSERT INTO usage_raw (account, hour, class, meter, incarnation, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, hour, class, meter, incarnation) DO UPDATE SET value = excluded.value WHERE excluded.value > usage_raw.value`

const lookUsage = `SELECT value FROM usage_raw WHERE account = ?1 AND hour = ?2 AND class = ?3 AND meter = ?4 AND incarnation = ?5`

func newWriter(ctx context.Context, d dialect, tx *sql.Tx) (*writer, error) {
	w := &writer{
		tx:           tx,
		dialect:      d,
		now:          time.Now(),
		accounts:     make(map[string]int64),
		incarnations: make(map[string]int64),
	}
	for stmt, query := range map[**sql.Stmt]string{
		&w.upsert: upsertUsage, &w.look: lookUsage, &w.account: upsertAccount,
	} {
		var err error
		if *stmt, err = tx.PrepareContext(ctx, d.sql(query)); err != nil {
			w.close()
			return nil, fmt.Errorf("prepare statement: %w", err)
		}
	}
	return w, nil
}

func (w *writer) close() {
	for _, stmt := range []*sql.Stmt{w.upsert, w.look, w.account} {
		if stmt != nil {
			_ = stmt.Close() // the transaction's end closes it in any case
		}
	}
}

// identify looks up all ids: incarnations by name, then accounts by key, for
// the same reason as in inOrder.
func (w *writer) identify(ctx context.Context, samples []billing.Sample, accounts bool) error {
	names := make([]string, len(samples))
	for i := range samples {
		names[i] = samples[i].Incarnation
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := w.findIncarnation(ctx, name); err != nil {
			return fmt.Errorf("record incarnation: %w", err)
		}
	}
	for i := range samples {
		key := samples[i].Account
		if _, known := w.accounts[key]; known || !accounts {
			continue
		}
		var id int64
		if err := w.account.QueryRowContext(ctx, key, w.now.UnixMilli()).Scan(&id); err != nil {
			return fmt.Errorf("record account: %w", err)
		}
		w.accounts[key] = id
	}
	return nil
}

func (w *writer) record(ctx context.Context, s *billing.Sample, done *billing.Recorded) error {
	account, incarnation := w.accounts[s.Account], w.incarnations[s.Incarnation]
	res, err := w.upsert.ExecContext(ctx, account, s.Window, s.Class, string(s.Meter), incarnation, s.Value)
	if err != nil {
		return err
	}
	changed, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if changed > 0 {
		done.Raised++
		return nil
	}
	var stored int64
	row := w.look.QueryRowContext(ctx, account, s.Window, s.Class, string(s.Meter), incarnation)
	if err := row.Scan(&stored); err != nil {
		return err
	}
	if stored > s.Value {
		done.Lower++
	} else {
		done.Same++
	}
	return nil
}

const upsertQuarantine = `INSERT INTO quarantine (account, hour, class, meter, incarnation, value, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (account, hour, class, meter, incarnation) DO UPDATE SET value = excluded.value WHERE excluded.value > quarantine.value`

func (w *writer) quarantine(ctx context.Context, s *billing.Sample, reason string) error {
	_, err := w.tx.ExecContext(ctx, w.dialect.sql(upsertQuarantine),
		s.Account, s.Window, s.Class, string(s.Meter), w.incarnations[s.Incarnation], s.Value, reason)
	return err
}

const moveQuarantined = `INSERT INTO usage_raw (account, hour, class, meter, incarnation, value)
SELECT CAST(?1 AS BIGINT), hour, class, meter, incarnation, value FROM quarantine WHERE account = ?2 AND hour <= ?3
ON CONFLICT (account, hour, class, meter, incarnation) DO UPDATE SET value = excluded.value WHERE excluded.value > usage_raw.value`

// releaseQuarantined moves what was held back of the accounts that this
// transaction has recorded.
func (w *writer) releaseQuarantined(ctx context.Context) error {
	var some bool
	if err := w.tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM quarantine)").Scan(&some); err != nil || !some {
		return err
	}
	hour := billing.WindowOf(w.now)
	for key, id := range w.accounts {
		if _, err := w.tx.ExecContext(ctx, w.dialect.sql(moveQuarantined), id, key, hour); err != nil {
			return fmt.Errorf("release quarantined samples: %w", err)
		}
		if _, err := w.tx.ExecContext(ctx, w.dialect.sql("DELETE FROM quarantine WHERE account = ?1 AND hour <= ?2"), key, hour); err != nil {
			return fmt.Errorf("release quarantined samples: %w", err)
		}
	}
	return nil
}

const upsertAccount = `INSERT INTO account (key, reported) VALUES (?1, ?2)
ON CONFLICT (key) DO UPDATE SET reported = CASE WHEN excluded.reported > account.reported THEN excluded.reported ELSE account.reported END
RETURNING id`

const insertIncarnation = `INSERT INTO incarnation (name) VALUES (?1) ON CONFLICT (name) DO NOTHING`

func (w *writer) findIncarnation(ctx context.Context, name string) error {
	var id int64
	find := w.dialect.sql("SELECT id FROM incarnation WHERE name = ?1")
	err := w.tx.QueryRowContext(ctx, find, name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		if _, err = w.tx.ExecContext(ctx, w.dialect.sql(insertIncarnation), name); err == nil {
			err = w.tx.QueryRowContext(ctx, find, name).Scan(&id)
		}
	}
	w.incarnations[name] = id
	return err
}
