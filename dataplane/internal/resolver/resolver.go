// Package resolver is where the accounts of a broker come from that stands alone
// with an operator: the configuration, a directory, or a web server.
//
// It finds signed claims and judges nothing: that the operator signed them is
// for package account to see. Only the broker's assembly uses it.
package resolver

import (
	"context"
	"maps"
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

	pinned atomic.Pointer[map[string]bool] // nil for all accounts
}

// Lookup returns an account's claims.
func (r *Resolver) Lookup(ctx context.Context, key string) (string, int64, error) {
	if !r.Admits(key) {
		return "", 0, account.ErrUnknown
	}
	token, err := r.find(ctx, key)
	return token, revision, err
}

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

// NewMemory returns a resolver that knows what is preloaded.
func NewMemory() *Resolver {
	var claims atomic.Pointer[map[string]string]
	claims.Store(&map[string]string{})
	return &Resolver{
		find: func(_ context.Context, key string) (string, error) {
			if token, ok := (*claims.Load())[key]; ok {
				return token, nil
			}
			return "", account.ErrUnknown
		},
		preload: func(all map[string]string) error {
			all = maps.Clone(all)
			claims.Store(&all)
			return nil
		},
		close: func() {},
	}
}
