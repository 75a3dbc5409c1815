package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/coveymq/covey/billing"
)

// Record implements [billing.Ledger].
func (l *Ledger) Record(ctx context.Context, samples []billing.Sample) (billing.Recorded, error) {
	var done billing.Recorded
	err := l.inTx(ctx, func(tx *sql.Tx) error {
		w, err := newWriter(ctx, tx)
		if err != nil {
			return err
		}
		defer w.close()
		for i := range samples {
			if samples[i].Value == 0 {
				continue
			}
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
	return l.inTx(ctx, func(tx *sql.Tx) error {
		w, err := newWriter(ctx, tx)
		if err != nil {
			return err
		}
		defer w.close()
		for i := range samples {
			if samples[i].Value == 0 {
				continue
			}
			if err := w.quarantine(ctx, &samples[i], reason); err != nil {
				return fmt.Errorf("quarantine sample: %w", err)
			}
		}
		return nil
	})
}

func (l *Ledger) inTx(ctx context.Context, f func(*sql.Tx) error) error {
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

// writer is one transaction's prepared statements and the ids it has looked up.
type writer struct {
	tx           *sql.Tx
	upsert, look *sql.Stmt
	account      *sql.Stmt
	now          time.Time
	accounts     map[string]int64
	incarnations map[string]int64
}

const upsertUsage = `INSERT INTO usage_raw (account, hour, class, meter, incarnation, value) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET value = excluded.value WHERE excluded.value > value`

const lookUsage = `SELECT value FROM usage_raw WHERE account = ? AND hour = ? AND class = ? AND meter = ? AND incarnation = ?`

func newWriter(ctx context.Context, tx *sql.Tx) (*writer, error) {
	w := &writer{
		tx:           tx,
		now:          time.Now(),
		accounts:     make(map[string]int64),
		incarnations: make(map[string]int64),
	}
	for stmt, query := range map[**sql.Stmt]string{
		&w.upsert: upsertUsage, &w.look: lookUsage, &w.account: upsertAccount,
	} {
		var err error
		if *stmt, err = tx.PrepareContext(ctx, query); err != nil {
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

func (w *writer) record(ctx context.Context, s *billing.Sample, done *billing.Recorded) error {
	account, err := w.accountID(ctx, s.Account)
	if err != nil {
		return err
	}
	incarnation, err := w.incarnationID(ctx, s.Incarnation)
	if err != nil {
		return err
	}
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

const upsertQuarantine = `INSERT INTO quarantine (account, hour, class, meter, incarnation, value, reason) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET value = excluded.value WHERE excluded.value > value`

func (w *writer) quarantine(ctx context.Context, s *billing.Sample, reason string) error {
	incarnation, err := w.incarnationID(ctx, s.Incarnation)
	if err != nil {
		return err
	}
	_, err = w.tx.ExecContext(ctx, upsertQuarantine,
		s.Account, s.Window, s.Class, string(s.Meter), incarnation, s.Value, reason)
	return err
}

const moveQuarantined = `INSERT INTO usage_raw (account, hour, class, meter, incarnation, value)
SELECT ?, hour, class, meter, incarnation, value FROM quarantine WHERE account = ? AND hour <= ?
ON CONFLICT DO UPDATE SET value = excluded.value WHERE excluded.value > value`

// releaseQuarantined moves what was held back of the accounts that this
// transaction has recorded.
func (w *writer) releaseQuarantined(ctx context.Context) error {
	var some bool
	if err := w.tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM quarantine)").Scan(&some); err != nil || !some {
		return err
	}
	hour := billing.WindowOf(w.now)
	for key, id := range w.accounts {
		if _, err := w.tx.ExecContext(ctx, moveQuarantined, id, key, hour); err != nil {
			return fmt.Errorf("release quarantined samples: %w", err)
		}
		if _, err := w.tx.ExecContext(ctx, "DELETE FROM quarantine WHERE account = ? AND hour <= ?", key, hour); err != nil {
			return fmt.Errorf("release quarantined samples: %w", err)
		}
	}
	return nil
}

const upsertAccount = `INSERT INTO account (key, reported) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET reported = max(reported, excluded.reported) RETURNING id`

func (w *writer) accountID(ctx context.Context, key string) (int64, error) {
	if id, ok := w.accounts[key]; ok {
		return id, nil
	}
	var id int64
	if err := w.account.QueryRowContext(ctx, key, w.now.UnixMilli()).Scan(&id); err != nil {
		return 0, err
	}
	w.accounts[key] = id
	return id, nil
}

const upsertIncarnation = `INSERT INTO incarnation (name) VALUES (?)
ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id`

func (w *writer) incarnationID(ctx context.Context, name string) (int64, error) {
	if id, ok := w.incarnations[name]; ok {
		return id, nil
	}
	var id int64
	if err := w.tx.QueryRowContext(ctx, upsertIncarnation, name).Scan(&id); err != nil {
		return 0, err
	}
	w.incarnations[name] = id
	return id, nil
}
