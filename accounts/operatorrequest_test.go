package accounts_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/internal/errs"
)

// anOperator is made with the claims library, as other tools do.
type anOperator struct {
	pair   nkeys.KeyPair
	root   accounts.Signer
	claims *jwt.OperatorClaims
	text   string
}

func newOperator(t *testing.T, more func(*jwt.OperatorClaims)) anOperator {
	t.Helper()
	seed, err := accounts.NewOperatorKey()
	if err != nil {
		t.Fatal(err)
	}
	o := anOperator{}
	if o.root, err = seed.Signer(); err != nil {
		t.Fatal(err)
	}
	if o.pair, err = nkeys.FromSeed(seed.Reveal()); err != nil {
		t.Fatal(err)
	}
	o.claims = jwt.NewOperatorClaims(o.root.PublicKey())
	o.claims.Name, o.claims.OperatorServiceURLs = "elsewhere", jwt.StringList{"nats://example.com:4222"}
	o.claims.SigningKeys = jwt.StringList{publicKey(t, nkeys.PrefixByteOperator)}
	o.claims.SystemAccount = publicKey(t, nkeys.PrefixByteAccount)
	if more != nil {
		more(o.claims)
	}
	if o.text, err = o.claims.Encode(o.pair); err != nil {
		t.Fatal(err)
	}
	return o
}

func publicKey(t *testing.T, prefix nkeys.PrefixByte) string {
	t.Helper()
	pair, err := nkeys.CreatePair(prefix)
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func requestFor(t *testing.T, jwt string, keys ...string) string {
	t.Helper()
	text, err := accounts.OperatorRequest{Operator: jwt, SigningKeys: keys}.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func failure(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func TestARequestChangesSigningKeysOnly(t *testing.T) {
	o, next := newOperator(t, nil), publicKey(t, nkeys.PrefixByteOperator)
	old := o.claims.SigningKeys[0]
	out, err := accounts.SignOperatorRequest(requestFor(t, o.text, next, next), o.root)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(out.Added, []string{next}) || !slices.Equal(out.Removed, []string{old}) {
		t.Errorf("adds %v, removes %v", out.Added, out.Removed)
	}
	got, err := jwt.DecodeOperatorClaims(out.JWT)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != o.claims.Name || !slices.Equal(got.OperatorServiceURLs, o.claims.OperatorServiceURLs) || got.SystemAccount != o.claims.SystemAccount ||
		!slices.Equal(got.SigningKeys, jwt.StringList{next}) || got.Issuer != o.root.PublicKey() {
		t.Errorf("the JWT says %v", got)
	}
	terms := accounts.OperatorTerms{PublicKey: o.root.PublicKey(), SystemAccount: o.claims.SystemAccount, Listed: []string{next}, Retired: []string{old}}
	if _, err := accounts.CheckOperator(out.JWT+"\n", terms); err != nil {
		t.Errorf("what was signed is refused: %v", err)
	}
}

func TestRequestsAreRefused(t *testing.T) {
	o, other := newOperator(t, nil), newOperator(t, nil)
	key := publicKey(t, nkeys.PrefixByteOperator)
	bySigningKey := func() string {
		pair, err := nkeys.CreateOperator()
		if err != nil {
			t.Fatal(err)
		}
		text, err := o.claims.Encode(pair)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, c := range map[string]struct{ text, reason string }{
		"nothing":           {"", "INVALID_OPERATOR_REQUEST"},
		"a JWT":             {o.text, "INVALID_OPERATOR_REQUEST"},
		"newer":             {strings.Replace(requestFor(t, o.text, key), `request": 1`, `request": 2`, 1), "INVALID_OPERATOR_REQUEST"},
		"of another":        {requestFor(t, other.text, key), "WRONG_ROOT"},
		"no key":            {requestFor(t, o.text), "INVALID_OPERATOR_REQUEST"},
		"a key of accounts": {requestFor(t, o.text, publicKey(t, nkeys.PrefixByteAccount)), "INVALID_OPERATOR_REQUEST"},
		"forged":            {requestFor(t, bySigningKey(), key), "OPERATOR_JWT_WRONG"},
	} {
		if _, err := accounts.SignOperatorRequest(c.text, o.root); failure(err) != c.reason {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
	}
}

func TestJWTsOfTheOperatorAreRefused(t *testing.T) {
	o := newOperator(t, nil)
	listed := o.claims.SigningKeys[0]
	terms := accounts.OperatorTerms{PublicKey: o.root.PublicKey(), SystemAccount: o.claims.SystemAccount, Listed: []string{listed}}
	if _, err := accounts.CheckOperator(o.text, terms); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*accounts.OperatorTerms){
		"of another":             func(t *accounts.OperatorTerms) { t.PublicKey = listed },
		"another system account": func(t *accounts.OperatorTerms) { t.SystemAccount = "" },
		"a key is missing":       func(t *accounts.OperatorTerms) { t.Listed = append(t.Listed, "O") },
		"a retired key is there": func(t *accounts.OperatorTerms) { t.Retired = []string{listed} },
	} {
		bad := terms
		spoil(&bad)
		if _, err := accounts.CheckOperator(o.text, bad); failure(err) != "OPERATOR_JWT_WRONG" {
			t.Errorf("%s: %v", name, err)
		}
	}
	expires := newOperator(t, func(c *jwt.OperatorClaims) { c.Expires = 1 << 40 })
	terms = accounts.OperatorTerms{PublicKey: expires.root.PublicKey(), SystemAccount: expires.claims.SystemAccount}
	if _, err := accounts.CheckOperator(expires.text, terms); failure(err) != "OPERATOR_JWT_WRONG" {
		t.Errorf("one that expires: %v", err)
	}
}
