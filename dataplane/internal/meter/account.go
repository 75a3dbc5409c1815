package meter

import "sync/atomic"

// Account is one account's counters. Published and Delivered may be called from
// any goroutine between Meter.Account and Release.
type Account struct {
	current atomic.Pointer[record] // the hour now counted; the meter's sink when nobody counts

	// Immutable.
	meter *Meter
	key   string

	// Guarded by meter.mu.
	refs   int
	closed []*record // hours that are over and not forgotten, oldest first
	spare  []*record // forgotten; kept for this account while somebody may still add to them
}

// PublicKey names the account.
func (a *Account) PublicKey() string { return a.key }

// Published counts messages that were admitted from a publisher.
func (a *Account) Published(messages, bytes uint64) {
	r := a.current.Load()
	r.words[wordPublished].Add(messages)
	r.words[wordPublishedBytes].Add(bytes)
}

// Delivered counts messages whose last byte the kernel has taken.
func (a *Account) Delivered(messages, bytes uint64) {
	r := a.current.Load()
	r.words[wordDelivered].Add(messages)
	r.words[wordDeliveredBytes].Add(bytes)
}

// Release gives the account back. Its counts stay until they are forgotten;
// whoever counts on after the last Release counts for nobody.
func (a *Account) Release() {
	m := a.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.refs--; a.refs > 0 {
		return
	}
	a.drainLocked()
	m.freeRecords = append(m.freeRecords, a.spare...)
	a.spare = nil
	if r := a.current.Load(); r.zero() {
		m.parkLocked(a)
		m.freeLocked(r)
	}
	m.dropIfEmptyLocked(a)
}

// parkLocked leaves a without a record of its own.
func (m *Meter) parkLocked(a *Account) { a.current.Store(m.sink) }

// dropIfEmptyLocked forgets an account that nobody holds and nobody owes for.
func (m *Meter) dropIfEmptyLocked(a *Account) {
	if a.refs <= 0 && len(a.closed) == 0 && a.current.Load() == m.sink {
		delete(m.accounts, a.key)
	}
}

// takeRecordLocked returns a live record of the current hour for a.
func (m *Meter) takeRecordLocked(a *Account) (*record, error) {
	if n := len(a.spare); n > 0 {
		r := a.spare[n-1]
		a.spare = a.spare[:n-1]
		r.window.Store(m.window) // a late add that the words may hold counts for this hour
		r.state.Store(recordLive)
		return r, nil
	}
	if len(m.freeRecords) == 0 {
		if err := m.growRecords(); err != nil {
			return nil, err
		}
	}
	n := len(m.freeRecords)
	r := m.freeRecords[n-1]
	m.freeRecords = m.freeRecords[:n-1]
	for i := range r.words {
		r.words[i].Store(0)
	}
	r.account, r.class = [accountSize]byte{}, [classSize]byte{}
	copy(r.account[:], a.key)
	copy(r.class[:], ClassStandard)
	r.window.Store(m.window)
	r.state.Store(recordLive)
	return r, nil
}

// freeLocked makes r anybody's.
func (m *Meter) freeLocked(r *record) {
	if r == m.sink {
		return
	}
	r.state.Store(recordFree)
	m.freeRecords = append(m.freeRecords, r)
}
