package config

import (
	"os"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// Level is the version of nats-server whose behaviour the broker implements.
const Level = "2.15.2"

// addOperator puts in the keys of a broker whose accounts an operator signed.
func (f *file) addOperator(t table) {
	t.add(f.seen("operator", f.readOperator), "operator", "operators", "root", "roots", "root_operator", "root_operators")
	t.add(f.seen("trusted_keys", f.readTrusted), "trusted", "trusted_keys")
	t.add(f.seen("resolver", f.resolver), "resolver", "account_resolver", "accounts_resolver")
	t.add(f.seen("resolver_tls", f.resolverTLS), "resolver_tls")
	t.add(f.seen("resolver_preload", f.readPreload), "resolver_preload")
	t.add(f.seen("resolver_pinned_accounts", f.readPinned), "resolver_pinned_accounts")
	t.add(f.seen("default_sentinel", f.str(&f.operator.Sentinel)), "default_sentinel")
}

// readOperator reads the JWTs of operators, or files that hold them.
func (f *file) readOperator(n node) {
	all, ok := f.strs(n)
	if !ok {
		return
	}
	if len(all) == 0 {
		f.problem(n, "%s names no operator", n.key)
	}
	for _, one := range all {
		token, claims, err := operatorJWT(one)
		if err != nil {
			f.problem(n, "operator JWT: %v", err)
			continue
		}
		if claims.Subject != claims.Issuer {
			f.problem(n, "operator JWT of %s is signed by %s, not by the operator itself", claims.Subject, claims.Issuer)
		}
		if v := claims.AssertServerVersion; newer(v, Level) {
			f.problem(n, "operator %s expects version %s, this is %s", claims.Subject, v, Level)
		}
		f.operator.Tokens = append(f.operator.Tokens, token)
		f.systems = append(f.systems, claims.SystemAccount)
	}
}

// readTrusted reads the keys that sign accounts, for who has no JWT of an operator.
func (f *file) readTrusted(n node) {
	all, ok := f.strs(n)
	if !ok {
		return
	}
	if len(all) == 0 {
		f.problem(n, "%s names no key", n.key)
	}
	for _, key := range all {
		if !nkeys.IsValidPublicOperatorKey(key) {
			f.problem(n, "trust key %q required to be a valid public operator nkey", key)
		}
	}
	f.operator.Keys = all
}

// jwtPrefix is what every JWT begins with.
const jwtPrefix = "eyJ"

func operatorJWT(s string) (string, *jwt.OperatorClaims, error) {
	contents, err := os.ReadFile(s)
	if err != nil {
		if !strings.HasPrefix(s, jwtPrefix) {
			return "", nil, err
		}
		contents = []byte(s)
	}
	token, err := jwt.ParseDecoratedJWT(contents)
	if err != nil {
		return "", nil, err
	}
	claims, err := jwt.DecodeOperatorClaims(token)
	return token, claims, err
}

// newer reports whether version a is newer than b. What is not a version is not
// newer.
func newer(a, b string) bool {
	am, an, au, err := jwt.ParseServerVersion(a)
	bm, bn, bu, err2 := jwt.ParseServerVersion(b)
	if err != nil || err2 != nil {
		return false
	}
	for _, d := range [...]int{am - bm, an - bn, au - bu} {
		if d != 0 {
			return d > 0
		}
	}
	return false
}

func (f *file) readPreload(n node) {
	members, ok := n.members()
	if !ok {
		f.problem(n, "%s must be a block of account keys with their JWTs, not %s", n.key, kind(n.value))
		return
	}
	f.operator.Accounts = make(map[string]string)
	f.operator.Verified = &account.Verified{}
	for _, m := range members {
		token, ok := as[string](&f.reader, m, "an account JWT")
		if !ok {
			continue
		}
		claims, err := f.operator.Verified.Claims(token)
		switch {
		case err != nil:
			f.problem(m, "invalid account JWT: %v", err)
		case claims.Subject != m.key:
			f.problem(m, "the account JWT of %s is given for %s", claims.Subject, m.key)
		default:
			f.operator.Accounts[m.key] = token
		}
	}
}

// readPinned reads the only accounts that count.
func (f *file) readPinned(n node) {
	all, ok := f.strs(n)
	if !ok {
		return
	}
	for _, key := range all {
		if !nkeys.IsValidPublicAccountKey(key) {
			f.problem(n, "pinned account key %q is not a valid public account nkey", key)
		}
	}
	f.operator.Pinned = all
}

// checkOperator sees whether what belongs to an operator fits together.
func (f *file) checkOperator() {
	n, ok := f.trustRoot()
	if keys, both := f.defined["trusted_keys"]; both && n.key != keys.key {
		f.problem(keys, "%s and operator cannot both be there: an operator's JWT names its keys", keys.key)
	}
	if !ok {
		for _, key := range [...]string{"resolver", "resolver_tls", "resolver_preload", "resolver_pinned_accounts", "default_sentinel"} {
			if n, ok := f.defined[key]; ok {
				f.problem(n, "%s needs an operator, or trusted_keys", key)
			}
		}
		return
	}
	if _, ok := f.defined["resolver"]; !ok {
		f.problem(n, "operators require an account resolver to be configured")
	}
	f.checkOperatorAlone(n)
	f.checkSentinel()
	f.checkResolverTLS()
	if len(f.operator.Tokens)+len(f.operator.Keys) == 0 {
		return
	}
	f.checkOperatorSystem(n)
	o := f.operator
	if o.Resolver.URL != "" && len(o.Accounts) > 0 {
		f.problem(f.defined["resolver_preload"], "resolver_preload needs a resolver that can store accounts, which a URL cannot")
	}
	if o.Pinned != nil && o.System != "" {
		o.Pinned = append(slices.Clone(o.Pinned), o.System)
	}
	f.o.Operator = &o
}

// trustRoot returns what says whose accounts count.
func (f *file) trustRoot() (n node, ok bool) {
	if n, ok = f.defined["operator"]; !ok {
		n, ok = f.defined["trusted_keys"]
	}
	return n, ok
}

// checkOperatorAlone sees that nobody but the operator says who may connect.
func (f *file) checkOperatorAlone(n node) {
	a := &f.o.Access
	for _, bad := range []struct {
		is   bool
		what string
	}{
		{len(a.Accounts) > 0, "accounts"},
		{a.HasUsers || len(a.Users) > 0 || a.User != "" || a.Token != "", "users"},
		{a.NoAuthUser != "", "no_auth_user"},
		{a.Callout != nil, "authorization callouts"},
		{a.Terms != nil, "mappings"},
	} {
		if bad.is {
			f.problem(n, "operators do not allow %s to be configured directly", bad.what)
		}
	}
}

// checkOperatorSystem sees whether there is one system account, and its claims.
func (f *file) checkOperatorSystem(n node) {
	o := &f.operator
	if len(f.systems) > 0 {
		o.System = f.systems[0]
	}
	if s, ok := f.defined["system_account"]; ok {
		o.System = f.o.Access.System
		named := slices.ContainsFunc(f.systems, func(key string) bool { return key != "" })
		if named && !slices.Contains(f.systems, o.System) {
			f.problem(s, "system_account in config and operator JWT must be identical")
		}
	}
	r := &o.Resolver
	switch {
	case r.Dir != "" && o.System == "":
		f.problem(n, "using nats based account resolver - the system account needs to be specified in configuration or the operator jwt")
	case r.Dir == "" && r.URL == "" && o.System != "" && o.Accounts[o.System] == "":
		f.problem(n, "the system account %s is not in resolver_preload", o.System)
	}
}
