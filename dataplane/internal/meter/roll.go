package meter

import (
	"context"
	"time"
)

// rollCheck bounds how late a stepped wall clock is noticed.
const rollCheck = 10 * time.Second

// Run moves the counters to the next hour whenever one begins, until ctx ends.
func (m *Meter) Run(ctx context.Context) error {
	for {
		now := time.Now()
		m.roll(now)
		t := time.NewTimer(min(rollCheck, untilNextHour(now)))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

func untilNextHour(now time.Time) time.Duration {
	return now.Truncate(time.Hour).Add(time.Hour).Sub(now)
}

// roll closes the hours before the one that now belongs to. A clock that steps
// back changes nothing: hours only go forward.
func (m *Meter) roll(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := hour(now)
	if w <= m.window && !m.lagging {
		return
	}
	m.window = max(m.window, w)
	m.lagging = false
	for _, a := range m.accounts {
		if err := m.rollAccountLocked(a); err != nil {
			m.lagging = true
			m.log.Error("account keeps counting into the last hour", "account", a.key, "err", err)
		}
	}
	if !m.keepClosed {
		m.dropClosedLocked()
	}
}

func (m *Meter) rollAccountLocked(a *Account) error {
	r := a.current.Load()
	switch {
	case r == m.sink || r.window.Load() == m.window:
		return nil
	case a.refs > 0 && r.zero():
		r.window.Store(m.window) // what is added meanwhile belongs to the new hour just as well
		return nil
	case a.refs > 0:
		next, err := m.takeRecordLocked(a)
		if err != nil {
			return err
		}
		// Whoever loaded the old pointer still adds to the old hour; nothing is lost.
		a.current.Store(next)
	default:
		m.parkLocked(a)
	}
	a.closed = append(a.closed, r)
	return nil
}

// dropClosedLocked forgets every hour that is over, for a meter that nobody reads.
func (m *Meter) dropClosedLocked() {
	for _, a := range m.accounts {
		for _, r := range a.closed {
			m.recycleLocked(a, r, r.counts())
		}
		a.closed = nil
		m.dropIfEmptyLocked(a)
	}
}

// Forget drops an hour that is over and that the ledger holds exactly as given.
// It reports false, and keeps everything, when the hour is not over, an older
// one is still kept, or the counters have moved on since.
func (m *Meter) Forget(window int64, receipted []Series) bool {
	held := make(map[seriesKey]Counts, len(receipted))
	for i := range receipted {
		held[receipted[i].key()] = receipted[i].Counts
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.forgettableLocked(window, held) {
		return false
	}
	if h := m.store.header(); h != nil {
		h.forgotten.Store(window) // from here on a successor leaves the hour alone, as a whole
	}
	for _, a := range m.accounts {
		if len(a.closed) > 0 && a.closed[0].window.Load() == window {
			r := a.closed[0]
			a.closed = a.closed[1:]
			m.recycleLocked(a, r, held[seriesKey{a.key, ClassStandard, window}])
			m.dropIfEmptyLocked(a)
		}
	}
	return true
}

func (m *Meter) forgettableLocked(window int64, held map[seriesKey]Counts) bool {
	if m.closed || window >= m.window {
		return false
	}
	for _, a := range m.accounts {
		if r := a.current.Load(); r != m.sink && r.window.Load() <= window {
			return false
		}
		if len(a.closed) == 0 {
			continue
		}
		r := a.closed[0]
		w := r.window.Load()
		if w < window || w == window && r.counts() != held[seriesKey{a.key, ClassStandard, window}] {
			return false
		}
	}
	return true
}

// recycleLocked empties a record of a closed hour of which the ledger holds
// held. An add that came in since is carried over to the current hour. While
// somebody may still hold a pointer to it the record stays with the account,
// so that even a very late add is charged to the right one.
func (m *Meter) recycleLocked(a *Account, r *record, held Counts) {
	r.state.Store(recordFree)
	a.carryLocked(r, held)
	if a.refs > 0 {
		a.spare = append(a.spare, r)
		return
	}
	m.freeRecords = append(m.freeRecords, r)
}

// drainLocked brings home what was added to records that had been recycled
// already, by adders that loaded their pointer just before an hour ended.
func (a *Account) drainLocked() {
	for _, r := range a.spare {
		a.carryLocked(r, Counts{})
	}
}

// carryLocked moves what r counts beyond held to the current hour.
func (a *Account) carryLocked(r *record, held Counts) {
	current := a.current.Load()
	for i := range r.words {
		if r.words[i].Load() == 0 {
			continue
		}
		if late := r.words[i].Swap(0) - held[i]; late > 0 {
			current.words[i].Add(late)
		}
	}
}
