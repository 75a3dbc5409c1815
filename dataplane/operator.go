package dataplane

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/resolver"
	"github.com/coveymq/covey/dataplane/internal/secure"
)

// followOperator builds accounts and authentication from what operators signed.
func (b *Broker) followOperator(ctx context.Context) (err error) {
	o := b.cfg.Operator
	if b.resolver, err = openResolver(ctx, &o.Resolver); err != nil {
		return err
	}
	b.accounts = account.NewRegistry("", b.resolver, countNothing, b.cfg.Logger)
	b.accounts.Defaults, b.accounts.Months = b.cfg.Limits, b.months
	b.accounts.SetVerified(o.Verified)
	b.watchAccounts()
	b.sentinels = auth.NewOperator(b.accounts)
	b.sentinels.SetSentinel(o.Sentinel)
	b.host.Auth = b.sentinels
	b.host.SystemAccount = o.System
	b.resolver.Pin(o.Pinned)
	if err := b.resolver.Preload(o.Accounts); err != nil {
		return err
	}
	return b.trust(o)
}

// trust puts in force whose signatures of accounts count.
func (b *Broker) trust(o *config.Operator) error {
	if len(o.Keys) > 0 {
		b.accounts.SetSigners(o.Keys...)
		return nil
	}
	return b.accounts.SetOperators(o.Tokens...)
}

func openResolver(ctx context.Context, r *config.Resolver) (*resolver.Resolver, error) {
	switch {
	case r.URL != "":
		var config *tls.Config
		if r.TLS != nil {
			var err error
			if config, err = secure.LoadClient(*r.TLS); err != nil {
				return nil, fmt.Errorf("account resolver: %w", err)
			}
		}
		return resolver.NewURL(ctx, r.URL, config)
	case r.Dir != "":
		d := resolver.Dir{Path: r.Dir, Limit: r.Limit, TTL: r.TTL, Evict: r.Cache, Removal: r.Removal}
		if r.Cache && r.Limit == 0 {
			d.Limit = cacheLimit
		}
		return resolver.NewDir(d)
	}
	return resolver.NewMemory(), nil
}

// cacheLimit is how many accounts a cache holds by default, as in nats-server.
const cacheLimit = 1000

// ReloadOperator puts other operator keys, preloaded and pinned accounts in
// force, and what has changed in the resolver's directory. Where accounts come
// from stays. When it returns, whoever may not be connected any more is
// disconnected.
func (b *Broker) ReloadOperator(ctx context.Context, o *config.Operator) error {
	b.reloads.Lock()
	defer b.reloads.Unlock()
	if b.resolver == nil {
		return errFixedAccess
	}
	if err := b.trust(o); err != nil {
		return err
	}
	b.accounts.SetVerified(o.Verified)
	b.sentinels.SetSentinel(o.Sentinel)
	b.resolver.Pin(o.Pinned)
	if err := b.resolver.Preload(o.Accounts); err != nil {
		return err
	}
	if o.Resolver.URL == "" {
		return b.accounts.Refresh(ctx)
	}
	// To ask a web server for every account could take minutes.
	b.accounts.Each(func(a *account.Account) {
		if !b.resolver.Admits(a.Key) {
			b.accounts.Delete(a.Key, a.State().Revision)
		}
	})
	return nil
}

func countNothing(string) (account.Usage, error) { return account.NoUsage{}, nil }
