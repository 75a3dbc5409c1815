package config

import (
	"slices"

	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/auth"
)

// callout reads who decides about clients that are not its own users.
func (f *file) callout(n node) {
	c := &auth.Callout{}
	t := table{}
	t.add(f.str(&c.Issuer), "issuer")
	t.add(f.str(&c.Account), "account", "acc")
	t.add(f.strings(&c.Users), "auth_users", "users")
	t.add(f.strings(&c.Allowed), "allowed_accounts")
	t.add(f.str(&c.XKey), "xkey", "key")
	f.defined["auth_callout"] = n
	f.block(n, t)
	if c.Account == "" {
		c.Account = auth.GlobalAccount
	}
	switch {
	case c.Issuer == "":
		f.problem(n, "authorization callouts require an issuer to be specified")
	case !nkeys.IsValidPublicAccountKey(c.Issuer):
		f.problem(n, "the issuer of authorization callouts must be a public account nkey, not %q", c.Issuer)
	}
	if len(c.Users) == 0 {
		f.problem(n, "authorization callouts require authorized users to be specified")
	}
	if c.XKey != "" && !nkeys.IsValidPublicCurveKey(c.XKey) {
		f.problem(n, "the xkey of authorization callouts must be a public curve key, not %q", c.XKey)
	}
	f.o.Access.Callout = c
}

// strings reads a list of strings.
func (f *file) strings(into *[]string) func(node) {
	return func(n node) {
		if all, ok := f.strs(n); ok {
			*into = all
		}
	}
}

// checkCallout sees whether what a callout names is there.
func (f *file) checkCallout() {
	a := &f.o.Access
	c, n := a.Callout, f.defined["auth_callout"]
	if c == nil {
		return
	}
	names := a.AccountNames()
	for _, name := range append(slices.Clone(c.Allowed), c.Account) {
		if !slices.Contains(names, name) {
			f.problem(n, "authorization callout account %q is not an account", name)
		}
	}
	for _, id := range c.Users {
		if a.User != id && !slices.ContainsFunc(a.Users, func(u auth.User) bool { return u.ID() == id }) {
			f.problem(n, "authorization callout user %q is not a user", id)
		}
	}
}
