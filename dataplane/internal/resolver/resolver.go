// Package resolver is where the accounts of a broker come from that stands alone
// with an operator: the configuration, a directory, or a web server.
//
// It finds signed claims and judges nothing: that the operator signed them is
// for package account to see. Only the broker's assembly uses it.
package resolver

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// revision of claims that have none: above 0, which marks accounts that cannot
// be loaded again, and always the same, so that what is found later is in force.
const revision = 1

// Resolver finds accounts and can be told of others while it is used.
type Resolver struct {
	find    func(ctx context.Context, key string) (string, error)
	preload func(map[string]string) error
	close   func()
	update  func(key, token string) // takes claims that are in force already; nil if it cannot
	store   *Store                  // nil if it keeps nothing that others bring

	others atomic.Pointer[Others]

	pinned atomic.Pointer[map[string]bool] // nil for all accounts
}

// Others asks other brokers for claims. The error is account.ErrUnknown if they
// know that there are none.
type Others func(ctx context.Context, key string) (token string, err error)

// Ask lets others be asked for what is not found.
func (r *Resolver) Ask(others Others) { r.others.Store(&others) }

// Lookup returns an account's claims.
func (r *Resolver) Lookup(ctx context.Context, key string) (string, int64, error) {
	if !r.Admits(key) {
		return "", 0, account.ErrUnknown
	}
	token, err := r.find(ctx, key)
	if others := r.others.Load(); others != nil && errors.Is(err, account.ErrUnknown) {
		token, err = (*others)(ctx, key)
	}
	return token, revision, err
}

// Update takes claims of an account that are in force already, so that they are
// found again. It reports false if it cannot.
func (r *Resolver) Update(key, token string) bool {
	if r.update == nil {
		return false
	}
	r.update(key, token)
	return true
}

// Store returns where claims are kept that others bring; nil if they are not.
func (r *Resolver) Store() *Store { return r.store }

// Pin restricts the accounts that there are, or lifts that.
func (r *Resolver) Pin(keys []string) {
	if keys == nil {
		r.pinned.Store(nil)
		return
	}
	all := make(map[string]bool, len(keys))
	for _, key := range keys {
		all[key] = true
	}
	r.pinned.Store(&all)
}

// Admits reports whether an account may be loaded.
func (r *Resolver) Admits(key string) bool {
	pinned := r.pinned.Load()
	return pinned == nil || (*pinned)[key]
}

// Preload takes the claims that the configuration carries.
func (r *Resolver) Preload(claims map[string]string) error { return r.preload(claims) }

// Close lets go of what the resolver holds.
func (r *Resolver) Close() { r.close() }

// Hold does nothing: a resolver does not tell of changes.
func (*Resolver) Hold(string) {}

// Drop does nothing.
func (*Resolver) Drop(string) {}

// memory is the claims that a configuration carries, and newer ones.
type memory struct {
	mu     sync.Mutex
	claims map[string]string // guarded by mu
}

func (m *memory) find(_ context.Context, key string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if token, ok := m.claims[key]; ok {
		return token, nil
	}
	return "", account.ErrUnknown
}

func (m *memory) preload(claims map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims = maps.Clone(claims)
	return nil
}

func (m *memory) update(key, token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.claims[key]; ok {
		m.claims[key] = token
	}
}

// NewMemory returns a resolver that knows what is preloaded.
func NewMemory() *Resolver {
	m := &memory{}
	return &Resolver{find: m.find, preload: m.preload, update: m.update, close: func() {}}
}
