package config

import (
	"math"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/auth"
)

// accounts reads the block of that name, or a list of names.
func (f *file) accounts(n node) {
	if elements, ok := n.elements(); ok {
		for _, e := range elements {
			if name, ok := as[string](&f.reader, e, "an array of names"); ok {
				f.addAccount(e, name)
			}
		}
		return
	}
	members, ok := n.members()
	if !ok {
		f.problem(n, "%s must be a block of accounts or an array of names, not %s", n.key, kind(n.value))
		return
	}
	for _, m := range members {
		if !m.variable {
			f.account(m)
		}
	}
}

// addAccount adds an account without limits and returns its place.
func (f *file) addAccount(n node, name string) int {
	a := &f.o.Access
	switch {
	case name == auth.GlobalAccount:
		f.problem(n, "%q is a reserved account", name)
	case name == "":
		f.problem(n, "an account needs a name")
	case a.Limits(name) != nil:
		f.problem(n, "duplicate account %q", name)
	}
	a.Accounts = append(a.Accounts, auth.Account{Name: name, Limits: auth.Unlimited()})
	return len(a.Accounts) - 1
}

// account reads one account.
func (f *file) account(n node) {
	a := &f.o.Access
	at := f.addAccount(n, n.key)
	first := len(a.Users)
	var fallback *jwt.Permissions
	t := table{}
	t.add(func(m node) { f.users(m, n.key) }, "users")
	t.add(func(n node) { fallback = f.permissions(n) }, "default_permissions")
	t.add(func(n node) { f.accountLimits(n, &a.Accounts[at]) }, "limits")
	t.add(f.quotas(&a.Accounts[at].Quotas, false), "covey")
	t.add(f.accountKey, "nkey")
	f.addSharing(t, n.key, &a.Accounts[at].Terms)
	t.add(func(n node) { f.mappings(n, &a.Accounts[at].Terms) }, "mappings", "maps")
	t.add(func(n node) { f.messageTrace(n, &a.Accounts[at]) }, "msg_trace", "trace_dest")
	t.add(f.unsupportedUnless(false, "disabled", "disable"), "jetstream")
	f.block(n, t)
	applyDefault(a.Users[first:], fallback)
}

func (f *file) accountKey(n node) {
	if v, ok := as[string](&f.reader, n, "a string"); ok && !nkeys.IsValidPublicAccountKey(v) {
		f.problem(n, "not a valid public nkey for an account: %q", v)
		return
	}
	f.warn(n, "the account's nkey is not used")
}

func (f *file) accountLimits(n node, a *auth.Account) {
	l := &a.Limits
	t := table{}
	t.add(limit(f, &l.Connections), "max_connections", "max_conn")
	t.add(limit(f, &l.Subscriptions), "max_subscriptions", "max_subs")
	t.add(limit(f, &l.Payload), "max_payload", "max_pay")
	t.add(limit(f, &l.Leafs), "max_leafnodes", "max_leafs")
	f.block(n, t)
}

func limit(f *file, to *int64) func(node) { return integer(&f.reader, to, -1, math.MaxInt32) }
