package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/limit"
)

// Source is where accounts come from.
type Source interface {
	// Lookup returns an account's signed claims and their revision. The error is
	// ErrUnknown when it is known that there is no such account; any other error
	// means that it cannot be known now.
	Lookup(ctx context.Context, key string) (token string, revision int64, err error)
	// Hold says that the account is loaded: its changes are wanted from now on.
	Hold(key string)
	// Drop ends what Hold began.
	Drop(key string)
}

// Errors of Get.
var (
	ErrUnknown     = errors.New("no such account")
	ErrUnavailable = errors.New("account cannot be looked up now")
)

// Registry holds the accounts a broker has loaded.
type Registry struct {
	// Immutable after New.
	source Source
	usage  func(key string) (Usage, error)
	log    *slog.Logger

	trust    atomic.Pointer[trust]
	verified atomic.Pointer[Verified]
	linker   linker
	sweeper  *sweeper
	rated    *Rated
	// Defaults are the limits of accounts that do not state their own; set before
	// the first account is loaded.
	Defaults accounts.Quotas
	// Months are where the data of the month is kept; nil for in no file. Set
	// before the first account is loaded.
	Months *limit.Months

	watch Watcher // nil if nobody does; set before the first account is loaded

	mu       sync.Mutex
	accounts map[string]*Account // guarded by mu
	loading  map[string]*load    // guarded by mu
}

// load is one lookup that several connections may wait for.
type load struct {
	found   chan struct{} // closed when account or err is there
	done    chan struct{} // closed when the account's imports are in force as well
	account *Account
	err     error
}

// NewRegistry returns an empty registry. OperatorKey is the operator's root
// public key, or empty for a broker that loads no signed accounts. Usage opens
// an account's billing words.
func NewRegistry(operatorKey string, source Source, usage func(string) (Usage, error), log *slog.Logger) *Registry {
	r := &Registry{
		source: source, usage: usage, log: log,
		accounts: make(map[string]*Account), loading: make(map[string]*load),
		linker: linker{wake: make(chan struct{}, 1)}, sweeper: newSweeper(), rated: newRated(),
	}
	t := &trust{root: operatorKey, keys: make(map[string]bool)}
	if operatorKey != "" {
		t.keys[operatorKey] = false
	}
	r.trust.Store(t)
	r.verified.Store(&Verified{})
	return r
}

// SetVerified makes the registry use what somebody else has verified already;
// nil changes nothing.
func (r *Registry) SetVerified(v *Verified) {
	if v != nil {
		r.verified.Store(v)
	}
}

// Watcher hears which accounts are loaded. It is called without a lock held,
// and may not call back.
type Watcher interface {
	// Loaded comes before anybody can use the account.
	Loaded(*Account)
	// Unloaded comes when nobody new can; connections of a deleted account may
	// still be on their way out.
	Unloaded(*Account)
}

// Watch says who hears of accounts. Call it before the first one is loaded.
func (r *Registry) Watch(w Watcher) { r.watch = w }

// Get returns an account, loaded if need be, with what it imports in force.
func (r *Registry) Get(ctx context.Context, key string) (*Account, error) {
	return r.get(ctx, key, func(l *load) <-chan struct{} { return l.done })
}

// attach returns an account that another one imports from, loaded if need be.
// It does not wait for what that one imports: the two may import from each other.
func (r *Registry) attach(ctx context.Context, key string) (*Account, error) {
	return r.get(ctx, key, func(l *load) <-chan struct{} { return l.found })
}

func (r *Registry) get(ctx context.Context, key string, until func(*load) <-chan struct{}) (*Account, error) {
	r.mu.Lock()
	l := r.loading[key]
	if a := r.accounts[key]; l == nil && a != nil {
		r.mu.Unlock()
		return a, nil
	}
	if l != nil {
		r.mu.Unlock()
		select {
		case <-until(l):
			return l.account, l.err
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
	}
	l = &load{found: make(chan struct{}), done: make(chan struct{})}
	r.loading[key] = l
	r.mu.Unlock()

	r.lead(ctx, key, l)
	return l.account, l.err
}

// lead does the lookup that others wait for. They hear of its end even if it is
// a panic.
func (r *Registry) lead(ctx context.Context, key string, l *load) {
	l.err = ErrUnavailable
	defer func() {
		r.mu.Lock()
		delete(r.loading, key)
		r.mu.Unlock()
		close(l.done)
	}()
	r.find(ctx, key, l)
	if l.err == nil {
		r.linkLoaded(ctx, l.account)
	}
}

// find does the first half of lead.
func (r *Registry) find(ctx context.Context, key string, l *load) {
	defer func() {
		if l.err == nil {
			r.mu.Lock()
			r.accounts[key] = l.account
			r.mu.Unlock()
		}
		close(l.found)
		if l.err == nil {
			r.source.Hold(key)
			if s := l.account.State(); !r.trusted(s.Issuer) {
				r.Delete(key, s.Revision) // the operators changed meanwhile
			}
		}
	}()
	if l.account, l.err = r.load(ctx, key); l.err == nil && r.watch != nil {
		r.watch.Loaded(l.account)
	}
}

func (r *Registry) load(ctx context.Context, key string) (*Account, error) {
	if r.source == nil {
		return nil, ErrUnknown
	}
	token, revision, err := r.source.Lookup(ctx, key)
	if err != nil {
		return nil, err
	}
	s, err := r.decode(key, token, revision)
	if err != nil {
		r.source.Drop(key)
		return nil, err
	}
	usage, err := r.usage(key)
	if err != nil {
		r.source.Drop(key)
		return nil, fmt.Errorf("%w: usage of %s: %w", ErrUnavailable, key, err)
	}
	a := New(key, usage, s)
	a.keep(r.Months, r.rated)
	a.idle, a.sweeper = time.Now(), r.sweeper
	r.complain(a)
	return a, nil
}

// Add puts an account from a configuration file in.
func (r *Registry) Add(a *Account) {
	a.keep(r.Months, r.rated)
	a.sweeper = r.sweeper
	if r.watch != nil {
		r.watch.Loaded(a)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accounts[a.Key] = a
}

// Apply puts new claims in force, if the account is loaded and the claims are
// not older than what it has. It returns when they are in force.
func (r *Registry) Apply(key, token string, revision int64) error {
	a := r.Loaded(key)
	if a == nil || revision < a.State().Revision {
		return nil
	}
	s, err := r.decode(key, token, revision)
	if err != nil {
		return err
	}
	a.Apply(s)
	r.complain(a)
	r.Link(key)
	r.log.Info("account claims in force", "account", key, "rev", revision)
	return nil
}

// complain logs what of an account's claims is not in force.
func (r *Registry) complain(a *Account) {
	for _, fault := range a.State().Faults {
		r.log.Warn("a part of the account's claims is not in force", "account", a.Key, "why", fault)
	}
}

// Delete ends an account: its clients are disconnected, new ones refused until
// the source knows it again.
func (r *Registry) Delete(key string, revision int64) {
	a := r.Loaded(key)
	if a == nil || revision < a.State().Revision {
		return
	}
	a.end(revision)
	r.unload(a)
	r.log.Info("account deleted", "account", key, "rev", revision)
}

// unload takes out an account that nobody may join any more. The source hears of
// it first: as long as the account is here nobody loads it anew, so that this
// Drop cannot undo the Hold of the next load.
func (r *Registry) unload(a *Account) {
	if r.source != nil {
		r.source.Drop(a.Key)
	}
	if r.watch != nil {
		r.watch.Unloaded(a)
	}
	r.linker.forget(a.Key)
	r.rated.note(a, false)
	r.mu.Lock()
	if r.accounts[a.Key] == a {
		delete(r.accounts, a.Key)
	}
	r.mu.Unlock()
	r.linkImporters(a.Key)
}

// Loaded returns an account if it is loaded, else nil.
func (r *Registry) Loaded(key string) *Account {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accounts[key]
}

// Len returns the number of loaded accounts.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.accounts)
}

// Each calls visit for every loaded account, without a lock held.
func (r *Registry) Each(visit func(*Account)) {
	r.mu.Lock()
	all := make([]*Account, 0, len(r.accounts))
	for _, a := range r.accounts {
		all = append(all, a)
	}
	r.mu.Unlock()
	for _, a := range all {
		visit(a)
	}
}

// Evict drops accounts that have had no members for a while, and that nobody who
// has some imports from. A connection that got the account just before simply
// has it alone: it is marked so that Join refuses and the connection loads it
// anew.
func (r *Registry) Evict(now time.Time, after time.Duration) {
	var idle []*Account
	needed := make(map[*Account]bool)
	r.Each(func(a *Account) {
		if a.idleFor(now, after) {
			idle = append(idle, a)
		} else {
			need(needed, a)
		}
	})
	var gone []*Account
	for _, a := range idle {
		switch {
		case needed[a]:
		case a.retire():
			gone = append(gone, a)
			r.linker.forget(a.Key)
		default:
			need(needed, a)
		}
	}
	for _, a := range gone {
		r.unload(a)
	}
}

// need adds an account, and all that it imports from.
func need(all map[*Account]bool, a *Account) {
	if all[a] {
		return
	}
	all[a] = true
	for _, link := range a.Links().all() {
		need(all, link.From)
	}
}
