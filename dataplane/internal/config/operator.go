package config

import (
	"os"
	"strings"

	"github.com/nats-io/jwt/v2"
)

// Level is the version of nats-server whose behaviour the broker implements.
const Level = "2.15.2"

// addOperator puts in the keys of a broker whose accounts an operator signed.
func (f *file) addOperator(t table) {
	t.add(f.seen("operator", f.readOperator), "operator", "operators", "root", "roots", "root_operator", "root_operators")
	t.add(f.seen("resolver", f.resolver), "resolver", "account_resolver", "accounts_resolver")
	t.add(f.seen("resolver_preload", f.readPreload), "resolver_preload")
}

// readOperator reads the operator's JWT, or a file that holds it.
func (f *file) readOperator(n node) {
	all, ok := f.strs(n)
	switch {
	case !ok:
		return
	case len(all) != 1:
		f.problem(n, "%d operators are not supported yet, only one", len(all))
		return
	}
	token, claims, err := operatorJWT(all[0])
	if err != nil {
		f.problem(n, "operator JWT: %v", err)
		return
	}
	if claims.StrictSigningKeyUsage {
		f.problem(n, "an operator with strict signing key usage is not supported yet")
	}
	if v := claims.AssertServerVersion; newer(v, Level) {
		f.problem(n, "operator %s expects version %s, this is %s", claims.Subject, v, Level)
	}
	f.operator = &Operator{PublicKey: claims.Subject, Token: token, System: claims.SystemAccount}
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

// resolver accepts the resolver whose accounts are in the file.
func (f *file) resolver(n node) {
	name, isText := n.value.(string)
	if members, ok := n.members(); ok {
		for _, m := range members {
			if strings.EqualFold(m.key, "type") {
				name, isText = m.value.(string)
			}
		}
	}
	switch upper := strings.ToUpper(strings.TrimSpace(name)); {
	case !isText:
		f.problem(n, "%s must be MEMORY, or a block with a type", n.key)
	case upper == "MEM" || upper == "MEMORY":
	case strings.HasPrefix(upper, "URL"), upper == "FULL", upper == "CACHE":
		f.problem(n, "%s %s is not supported yet, only MEMORY", n.key, strings.SplitN(upper, "(", 2)[0])
	default:
		f.problem(n, "unknown %s %q", n.key, name)
	}
}

func (f *file) readPreload(n node) {
	members, ok := n.members()
	if !ok {
		f.problem(n, "%s must be a block of account keys with their JWTs, not %s", n.key, kind(n.value))
		return
	}
	f.preload = make(map[string]string)
	for _, m := range members {
		token, ok := as[string](&f.reader, m, "an account JWT")
		if !ok {
			continue
		}
		claims, err := jwt.DecodeAccountClaims(token)
		switch {
		case err != nil:
			f.problem(m, "invalid account JWT: %v", err)
		case claims.Subject != m.key:
			f.problem(m, "the account JWT of %s is given for %s", claims.Subject, m.key)
		default:
			f.preload[m.key] = token
		}
	}
}

// checkOperator sees whether what belongs to an operator fits together.
func (f *file) checkOperator() {
	n, ok := f.defined["operator"]
	if !ok {
		for _, key := range [...]string{"resolver", "resolver_preload"} {
			if n, ok := f.defined[key]; ok {
				f.problem(n, "%s needs an operator", key)
			}
		}
		return
	}
	if _, ok := f.defined["resolver"]; !ok {
		f.problem(n, "operators require an account resolver to be configured")
	}
	f.checkOperatorAlone(n)
	if f.operator == nil {
		return
	}
	f.checkOperatorSystem(n)
	f.operator.Accounts = f.preload
	f.o.Operator = f.operator
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
	} {
		if bad.is {
			f.problem(n, "operators do not allow %s to be configured directly", bad.what)
		}
	}
}

// checkOperatorSystem sees whether there is one system account, and its claims.
func (f *file) checkOperatorSystem(n node) {
	if s, ok := f.defined["system_account"]; ok {
		if own := f.operator.System; own != "" && own != f.o.Access.System {
			f.problem(s, "system_account in config and operator JWT must be identical")
		}
		f.operator.System = f.o.Access.System
	}
	if s := f.operator.System; s != "" && f.preload[s] == "" {
		f.problem(n, "the system account %s is not in resolver_preload", s)
	}
}
