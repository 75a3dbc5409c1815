package meter

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/coveymq/covey/internal/errs"
)

const (
	fileSuffix    = ".usage"
	draftSuffix   = ".new"
	damagedSuffix = ".damaged"
)

// Options are what a Meter needs beyond its directory. The zero value works.
type Options struct {
	Logger *slog.Logger // nil: silent
	// KeepClosed makes a meter without a file keep the hours that are over until
	// somebody forgets them. A meter with a file always does.
	KeepClosed bool
}

// Meter counts for one incarnation: one start of one broker process.
type Meter struct {
	// Immutable after Open.
	incarnation string
	started     time.Time
	log         *slog.Logger
	keepClosed  bool
	sink        *record // where counts go that nobody is charged for
	orphans     []*Orphan

	mu          sync.Mutex
	store       *arena
	window      int64 // the hour now counted
	lagging     bool  // some account could not be moved to window; guarded by mu, like all below
	accounts    map[string]*Account
	freeRecords []*record
	freeIntents []*intentSlot
	intentsOut  int                  // slots of the file that connections hold
	settled     map[seriesKey]Counts // what the ledger had when Settle was called
	closed      bool
}

// Open starts a new incarnation with a usage file in dir, and adopts the files
// that earlier ones left there. With an empty dir it counts in memory only.
func Open(dir string, opts Options) (*Meter, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make incarnation id: %w", err)
	}
	now := time.Now()
	m := &Meter{
		incarnation: id.String(),
		started:     now,
		log:         opts.Logger,
		keepClosed:  opts.KeepClosed || dir != "",
		sink:        &record{},
		store:       &arena{size: headerSize},
		window:      hour(now),
		accounts:    make(map[string]*Account),
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if dir == "" {
		return m, nil
	}
	if err := m.openDir(dir); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Meter) openDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make usage directory: %w", err)
	}
	orphans, err := adopt(dir, m.log)
	if err != nil {
		return err
	}
	m.orphans = orphans
	boot := bootID()
	path := filepath.Join(dir, m.incarnation+fileSuffix)
	m.store, err = openArena(path, func(page []byte) { writeHeader(page, m.incarnation, m.started, boot) })
	if err == nil {
		err = errors.Join(m.growRecords(), m.growIntents())
	}
	if err == nil {
		return nil
	}
	for _, o := range orphans {
		err = errors.Join(err, o.Close())
	}
	if m.store != nil {
		err = errors.Join(err, os.Remove(path), m.store.close(true))
	}
	return withAdvice(err, dir)
}

func withAdvice(err error, dir string) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return errs.New(errs.Exhausted, "USAGE_NO_SPACE", "no disk space to count usage in %s", dir).
			WithNext("free some space there").WithCause(err)
	}
	return err
}

// IncarnationID names this start of the process; no two are the same.
func (m *Meter) IncarnationID() string { return m.incarnation }

// Started is when this incarnation began to count.
func (m *Meter) Started() time.Time { return m.started }

// Orphans are the usage files that earlier incarnations left. The caller
// reports them and ends each with Delete or Close.
func (m *Meter) Orphans() []*Orphan { return m.orphans }

// Window is the UTC hour being counted, as Unix seconds of its beginning.
func (m *Meter) Window() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.window
}

var errClosed = errors.New("meter is closed")

// Account returns the counters of an account. Each successful call needs one
// Release.
func (m *Meter) Account(publicKey string) (*Account, error) {
	if m.store.file != nil && (len(publicKey) > accountSize || !plain(publicKey)) {
		return nil, errs.New(errs.Invalid, "USAGE_ACCOUNT", "account %q cannot be metered: not a public key", publicKey)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errClosed
	}
	a := m.accounts[publicKey]
	if a == nil {
		a = &Account{meter: m, key: publicKey}
		a.current.Store(m.sink)
	}
	if a.current.Load() == m.sink {
		r, err := m.takeRecordLocked(a)
		if err != nil {
			return nil, fmt.Errorf("meter account: %w", withAdvice(err, filepath.Dir(m.store.path)))
		}
		a.current.Store(r)
	}
	m.accounts[publicKey] = a
	a.refs++
	return a, nil
}

// Snapshot calls yield for every series that is not forgotten, in no particular
// order, until yield returns false. The counts of one hour are those of one
// moment, give or take the flushes that run meanwhile.
func (m *Meter) Snapshot(yield func(Series) bool) {
	for _, s := range m.series() {
		if !yield(s) {
			return
		}
	}
}

func (m *Meter) series() []Series {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seriesLocked()
}

// seriesLocked brings stragglers in before it reads.
func (m *Meter) seriesLocked() []Series {
	if m.closed {
		return nil // the memory may be gone
	}
	out := make([]Series, 0, len(m.accounts))
	add := func(a *Account, r *record) {
		if c := r.counts(); c != (Counts{}) {
			out = append(out, Series{Account: a.key, Class: ClassStandard, Window: r.window.Load(), Counts: c})
		}
	}
	for _, a := range m.accounts {
		a.drainLocked()
		for _, r := range a.closed {
			add(a, r)
		}
		if r := a.current.Load(); r != m.sink {
			add(a, r)
		}
	}
	return out
}

// Settle tells the meter what the ledger is known to hold, at the end of a
// graceful stop. It reports whether that is everything; if it still is when
// the meter is closed, Close deletes the file.
func (m *Meter) Settle(receipted []Series) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settled = make(map[seriesKey]Counts, len(receipted))
	for i := range receipted {
		m.settled[receipted[i].key()] = receipted[i].Counts
	}
	return m.isSettledLocked()
}

func (m *Meter) isSettledLocked() bool {
	for _, s := range m.seriesLocked() {
		if m.settled[s.key()] != s.Counts {
			return false
		}
	}
	return true
}

// Close ends the incarnation, after everybody has stopped counting and Run has
// returned. The file stays for a successor unless it holds nothing that the
// ledger does not.
func (m *Meter) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	settled := m.isSettledLocked()
	m.closed = true
	var err error
	for _, o := range m.orphans {
		err = errors.Join(err, o.Close())
	}
	if m.store.file == nil {
		return err
	}
	if settled {
		err = errors.Join(err, os.Remove(m.store.path))
	}
	return errors.Join(err, m.store.close(m.idleLocked()))
}

// idleLocked reports whether nobody holds an account or an intent any more.
// The memory of those who do must not vanish under them.
func (m *Meter) idleLocked() bool {
	for _, a := range m.accounts {
		if a.refs > 0 {
			return false
		}
	}
	return m.intentsOut == 0
}

func (m *Meter) growRecords() error {
	s, err := m.store.segment(kindRecords)
	if err != nil {
		return err
	}
	for off := segmentSize - recordSize; off >= segmentPrefix; off -= recordSize {
		r := (*record)(unsafe.Pointer(&s.mem[off]))
		r.self = uint64(s.base) + uint64(off)
		m.freeRecords = append(m.freeRecords, r)
	}
	return nil
}

func (m *Meter) growIntents() error {
	s, err := m.store.segment(kindIntents)
	if err != nil {
		return err
	}
	for off := segmentSize - intentSize; off >= segmentPrefix; off -= intentSize {
		m.freeIntents = append(m.freeIntents, (*intentSlot)(unsafe.Pointer(&s.mem[off])))
	}
	return nil
}

// bootID tells two runs of the kernel apart; empty where it does not say.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
