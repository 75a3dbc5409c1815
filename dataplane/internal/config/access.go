package config

import (
	"math"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/auth"
)

// addAccess puts in the keys that say who may connect.
func (f *file) addAccess(t table) {
	t.add(f.seen("authorization", f.authorization), "authorization")
	t.add(f.seen("accounts", f.accounts), "accounts")
	t.add(f.seen("no_auth_user", f.str(&f.o.Access.NoAuthUser)), "no_auth_user")
	t.add(f.seen("system_account", f.str(&f.o.Access.System)), "system_account", "system")
	t.add(f.noSystemAccount, "no_system_account", "no_system", "no_sys_acc")
	f.addOperator(t)
	t.add(f.seen("mappings", func(n node) { f.mappings(n, &f.o.Access.Terms) }), "mappings", "maps")
	t.add(f.seen("covey", f.covey), "covey")
}

func (f *file) noSystemAccount(n node) {
	if v, ok := as[bool](&f.reader, n, "a boolean"); ok && v {
		f.defined["no_system_account"] = n
	}
}

// authorization reads the block of that name.
func (f *file) authorization(n node) {
	a := &f.o.Access
	var fallback *jwt.Permissions
	var token, password string
	first := len(a.Users)
	t := table{}
	t.add(f.str(&a.User), "user", "username")
	t.add(f.str(&password), "pass", "password")
	t.add(f.str(&token), "token")
	t.add(f.authTimeout, "timeout")
	t.add(func(n node) { f.users(n, "") }, "users")
	t.add(func(n node) { fallback = f.permissions(n) }, "default_permission", "default_permissions", "permissions")
	t.add(f.callout, "auth_callout", "auth_hook")
	t.add(f.unsupportedUnless(false), "proxy_required")
	f.block(n, t)
	a.Token, a.Password = auth.Secret(token), auth.Secret(password)
	applyDefault(a.Users[first:], fallback)
	if a.Token != "" && (a.User != "" || a.Password != "") {
		f.problem(n, "there cannot be both a token and a user with a password")
	}
}

func applyDefault(users []auth.User, p *jwt.Permissions) {
	for i := range users {
		if users[i].Permissions == nil {
			users[i].Permissions = p
		}
	}
}

// maxAuthTimeout is from where on a timeout looks like a mistake.
const maxAuthTimeout = time.Minute

// authTimeout reads how long a client may take to say who it is.
func (f *file) authTimeout(n node) {
	to := &f.o.Clients.AuthTimeout
	f.o.authTimeout = n.value != int64(0) && n.value != float64(0)
	f.secondsOrDuration(to)(n)
	if *to > maxAuthTimeout {
		f.warn(n, "timeout of %v is high, consider keeping it under 60 seconds", *to)
	}
}

// secondsOrDuration reads a number of seconds, or a duration.
func (f *file) secondsOrDuration(to *time.Duration) func(node) {
	return func(n node) {
		switch v := n.value.(type) {
		case int64:
			f.seconds(n, float64(v), to)
		case float64:
			f.seconds(n, v, to)
		case string:
			f.duration(to, false)(n)
		default:
			f.problem(n, "%s must be a number of seconds or a duration, not %s", n.key, kind(v))
		}
	}
}

func (f *file) seconds(n node, s float64, to *time.Duration) {
	if s < 0 || s > float64(maxSeconds) || math.IsNaN(s) {
		f.problem(n, "%s is %v, which is not a number of seconds", n.key, s)
		return
	}
	if s > 0 { // 0 is for the default
		*to = time.Duration(s * float64(time.Second))
	}
}

// users reads a list of users of one account.
func (f *file) users(n node, account string) {
	elements, ok := n.elements()
	if !ok {
		f.problem(n, "%s must be an array of users, not %s", n.key, kind(n.value))
		return
	}
	if account == "" {
		f.o.Access.HasUsers = true
	}
	if len(elements) == 0 && account == "" {
		f.warn(n, "the list of users is empty: nobody may connect")
	}
	for _, e := range elements {
		if u, ok := f.user(e); ok {
			u.Account = account
			f.o.Access.Users = append(f.o.Access.Users, u)
		}
	}
}

func (f *file) user(n node) (auth.User, bool) {
	var u auth.User
	var password string
	before := len(f.problems)
	n.key = "a user"
	t := table{}
	t.add(f.str(&u.Name), "user", "username")
	t.add(f.str(&password), "pass", "password")
	t.add(f.str(&u.Nkey), "nkey")
	t.add(func(n node) { u.Permissions = f.permissions(n) }, "permission", "permissions", "authorization")
	t.add(func(n node) { u.Kinds = f.kinds(n) }, "allowed_connection_types", "connection_types", "clients")
	t.add(f.quotas(&u.Quotas, true), "covey")
	t.add(f.unsupportedUnless(false), "proxy_required")
	f.block(n, t)
	u.Password = auth.Secret(password)
	switch {
	case len(f.problems) > before:
		return u, false
	case u.Nkey == "" && u.Name == "":
		f.problem(n, "a user needs a name or an nkey")
		return u, false
	case u.Nkey != "" && !nkeys.IsValidPublicUserKey(u.Nkey):
		f.problem(n, "not a valid public nkey for a user: %q", u.Nkey)
		return u, false
	case u.Nkey != "" && (u.Name != "" || password != ""):
		f.problem(n, "nkey users do not take usernames or passwords")
		return u, false
	}
	if f.credentials[u.ID()] {
		f.problem(n, "duplicate user %q", u.ID())
		return u, false
	}
	if f.credentials == nil {
		f.credentials = make(map[string]bool)
	}
	f.credentials[u.ID()] = true
	return u, true
}

// kinds reads the kinds of connections that a user may use.
func (f *file) kinds(n node) []string {
	all, ok := f.strs(n)
	if !ok {
		return nil
	}
	for _, k := range all {
		if !knownKind(k) {
			f.problem(n, "unknown connection type %q", k)
		}
	}
	return all
}
