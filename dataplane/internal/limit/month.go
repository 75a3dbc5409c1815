package limit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/accounts"
)

// Month counts an account's bytes of the calendar month, UTC. It begins anew when
// somebody asks in another month.
type Month struct {
	used atomic.Int64
	ends atomic.Int64 // Unix second
}

// Add counts bytes.
func (m *Month) Add(bytes uint64) { m.used.Add(int64(bytes)) } //nolint:gosec // sizes of messages

// at returns the bytes of the month that now is in, and when it ends.
func (m *Month) at(now time.Time) (used, ends int64) {
	for {
		ends = m.ends.Load()
		if now.Unix() < ends {
			return m.used.Load(), ends
		}
		year, month, _ := now.UTC().Date()
		if next := time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC).Unix(); m.ends.CompareAndSwap(ends, next) && ends != 0 {
			m.used.Store(0)
		}
	}
}

// volume is a bound of a Month.
type volume struct {
	month *Month
	quota accounts.Quota
}

func (v *volume) ask(now time.Time) Verdict {
	used, ends := v.month.at(now)
	if used < v.quota.Amount {
		return Verdict{}
	}
	return Verdict{Limit: accounts.MonthlyBytes, Policy: v.quota.Policy, Wait: time.Unix(ends, 0).Sub(now)}
}

// Months are the counts of all accounts that have a bound, in a file that is
// written every few seconds: a broker that is killed forgets what it counted
// since, one without a directory forgets all.
type Months struct {
	path string // empty for none
	log  *slog.Logger

	mu        sync.Mutex
	byAccount map[string]*Month // guarded by mu
	saved     map[string]int64  // what the file says; guarded by mu
}

// monthsFile is what the file holds.
type monthsFile struct {
	Month    string           `json:"month"` // such as 2026-11
	Accounts map[string]int64 `json:"accounts"`
}

const (
	monthsName   = "data-of-month.json"
	monthsEvery  = 5 * time.Second
	monthsLayout = "2006-01"
)

// OpenMonths reads what a directory has of the current month; an empty one is
// for memory only. A file that cannot be understood is begun anew.
func OpenMonths(dir string, now time.Time, log *slog.Logger) (*Months, error) {
	m := &Months{log: log, byAccount: make(map[string]*Month)}
	if dir == "" {
		return m, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory for the data of the month: %w", err)
	}
	m.path = filepath.Join(dir, monthsName)
	text, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("data of the month: %w", err)
	}
	var file monthsFile
	if err := json.Unmarshal(text, &file); err != nil {
		log.Warn("the data of the month cannot be read; it is counted anew", "file", m.path, "err", err)
		return m, nil
	}
	if file.Month == now.UTC().Format(monthsLayout) {
		for key, used := range file.Accounts {
			month := &Month{}
			month.at(now)
			month.used.Store(used)
			m.byAccount[key] = month
		}
	}
	return m, nil
}

// Of returns an account's count, always the same one.
func (m *Months) Of(key string) *Month {
	if m == nil {
		return &Month{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	month := m.byAccount[key]
	if month == nil {
		month = &Month{}
		m.byAccount[key] = month
	}
	return month
}

// Run writes the file until ctx ends, and once more then.
func (m *Months) Run(ctx context.Context) error {
	t := time.NewTicker(monthsEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.Save(time.Now())
		case now := <-t.C:
			if err := m.Save(now); err != nil {
				m.log.Warn("the data of the month is not saved; a restart would count less", "err", err)
			}
		}
	}
}

// Save writes what has changed.
func (m *Months) Save(now time.Time) error {
	if m.path == "" {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	file := monthsFile{Month: now.UTC().Format(monthsLayout), Accounts: make(map[string]int64, len(m.byAccount))}
	for key, month := range m.byAccount {
		if used, _ := month.at(now); used > 0 {
			file.Accounts[key] = used
		}
	}
	if maps.Equal(file.Accounts, m.saved) {
		return nil
	}
	text, err := json.Marshal(file)
	if err == nil {
		err = os.WriteFile(m.path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(m.path+".new", m.path)
	}
	if err != nil {
		return fmt.Errorf("data of the month: %w", err)
	}
	m.saved = file.Accounts
	return nil
}
