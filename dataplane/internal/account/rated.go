package account

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/dataplane/internal/limit"
)

// Rated are the accounts of a registry that have rates, so that nobody has to
// look for them among all. Its mutex is taken last, also with an account's held.
type Rated struct {
	part atomic.Int64 // of a rate that is new here
	news atomic.Bool  // an account with connections has got rates

	mu       sync.Mutex
	accounts map[*Account]bool // guarded by mu
}

func newRated() *Rated {
	r := &Rated{accounts: make(map[*Account]bool)}
	r.part.Store(limit.Whole)
	return r
}

// Rated returns the accounts that have rates.
func (r *Registry) Rated() *Rated { return r.rated }

// SetPart says what part of their rates accounts begin with here; see
// limit.Whole.
func (r *Rated) SetPart(part int64) { r.part.Store(part) }

// Part returns it.
func (r *Rated) Part() int64 { return r.part.Load() }

// News reports whether an account that has connections has got rates since the
// last time.
func (r *Rated) News() bool { return r.news.Swap(false) }

// Each calls visit for all of them, without a lock held.
func (r *Rated) Each(visit func(*Account)) {
	r.mu.Lock()
	all := make([]*Account, 0, len(r.accounts))
	for a := range r.accounts {
		all = append(all, a)
	}
	r.mu.Unlock()
	for _, a := range all {
		visit(a)
	}
}

func (r *Rated) note(a *Account, is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if is {
		r.accounts[a] = true
	} else {
		delete(r.accounts, a)
	}
}

// begin gives the rates that are new their part, and notes whether there are
// any. Call it with the account's mu held, or before anybody knows the account.
func (r *Rated) begin(a *Account, g, previous *limit.Gate, now time.Time) {
	if r == nil {
		return
	}
	g.Begin(previous, r.part.Load(), now)
	if a.members.n > 0 && len(previous.Rates()) == 0 && len(g.Rates()) > 0 {
		r.news.Store(true)
	}
	r.note(a, len(g.Rates()) > 0 && !a.retired)
}

// Rates returns the account's own rates. The caller must not change the slice.
func (a *Account) Rates() []limit.Rate {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gate.Rates()
}

// HasRates reports whether there are any.
func (a *Account) HasRates() bool { return len(a.Rates()) > 0 }
