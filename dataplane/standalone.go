package dataplane

import (
	"context"
	"errors"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/permission"
)

// standAlone builds accounts and authentication from the configuration.
func (b *Broker) standAlone(ctx context.Context) error {
	if b.cfg.Operator != nil {
		return b.followOperator(ctx)
	}
	if b.cfg.Access == nil {
		b.cfg.Access = &auth.Access{System: auth.SystemAccount}
	}
	b.accounts = account.NewRegistry("", nil, nil, b.cfg.Logger)
	b.accounts.Months = b.months
	b.watchAccounts()
	b.defineAccounts(b.cfg.Access)
	b.static = auth.NewSwitch(auth.NewStatic(b.cfg.Access, b.accounts.Loaded))
	b.host.Auth = b.static
	b.host.SystemAccount = b.cfg.Access.System
	return nil
}

// defineAccounts makes the accounts of a configuration, or changes their limits.
func (b *Broker) defineAccounts(a *auth.Access) {
	for _, name := range a.AccountNames() {
		limits := auth.Unlimited()
		if l := a.Limits(name); l != nil {
			limits = *l
		}
		s := &account.State{Name: name, Limits: limits, Terms: a.TermsOf(name), Tracing: a.TracingOf(name), Quotas: a.Quotas(name).Or(b.cfg.Limits)}
		if existing := b.accounts.Loaded(name); existing != nil {
			existing.Apply(s)
		} else {
			b.accounts.Add(account.New(name, account.NoUsage{}, s))
		}
	}
	for _, name := range a.AccountNames() {
		b.accounts.Link(name)
	}
}

// errFixedAccess is the answer to a change of users that are not the
// configuration's.
var errFixedAccess = errors.New("who may connect is not up to the configuration")

// Reload puts another access and other limits in force; nil leaves what is.
// When it returns, whoever the new access does not admit is disconnected.
func (b *Broker) Reload(access *auth.Access, clients *conn.Options) error {
	b.reloads.Lock()
	defer b.reloads.Unlock()
	if access != nil && b.static == nil {
		return errFixedAccess
	}
	if clients != nil {
		b.host.SetOptions(*clients)
	}
	if access == nil {
		return nil
	}
	b.defineAccounts(access)
	before, after := b.static.Current(), auth.NewStatic(access, b.accounts.Loaded)
	b.static.Set(after)
	b.host.Review(func(id *account.Identity) (*permission.Set, *account.Refusal) {
		if rules, ok := before.Keeps(after, id); ok {
			return rules, nil
		}
		// It may have connected by the new configuration already.
		if after.Made(id) {
			return id.Permissions, nil
		}
		return nil, account.Violation("the configuration does not admit the user any more")
	})
	b.removeAccounts(access)
	return nil
}

// removeAccounts ends the accounts that a configuration has no more.
func (b *Broker) removeAccounts(a *auth.Access) {
	wanted := make(map[string]bool)
	for _, name := range a.AccountNames() {
		wanted[name] = true
	}
	b.accounts.Each(func(acct *account.Account) {
		if !wanted[acct.Key] {
			b.accounts.Delete(acct.Key, 0)
		}
	})
}
