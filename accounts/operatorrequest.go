package accounts

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/internal/errs"
)

// operatorRequestVersion goes up when an older program would sign something else
// than a newer one asks for.
const operatorRequestVersion = 1

// OperatorRequest asks the holder of the root key to sign the operator's claims
// with other signing keys. It holds no secret.
type OperatorRequest struct {
	Operator    string   // the JWT as it is
	SigningKeys []string // the keys that it is to list
}

// storedOperatorRequest is the JSON of a request.
type storedOperatorRequest struct {
	Version     int      `json:"covey_operator_request"`
	Operator    string   `json:"operator_jwt"`
	SigningKeys []string `json:"signing_keys"`
}

// Text returns the request as it is carried to where the root key is.
func (r OperatorRequest) Text() (string, error) {
	keys := slices.Compact(slices.Sorted(slices.Values(r.SigningKeys)))
	text, err := json.MarshalIndent(storedOperatorRequest{Version: operatorRequestVersion, Operator: r.Operator, SigningKeys: keys}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode operator request: %w", err)
	}
	return string(text) + "\n", nil
}

// SignedOperator is an operator's new JWT and what it changes.
type SignedOperator struct {
	PublicKey      string
	JWT            string
	Added, Removed []string // signing keys
}

// SignOperatorRequest does what a request asks for, with the root key. A request
// changes the list of signing keys and nothing else: the rest is what the root
// signed before.
func SignOperatorRequest(text string, root Signer) (SignedOperator, error) {
	var r storedOperatorRequest
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Version == 0 {
		return SignedOperator{}, errs.New(errs.Invalid, "INVALID_OPERATOR_REQUEST", "this is not a request to sign an operator").
			WithNext("`covey admin operator request` prints one").WithCause(err)
	}
	if r.Version != operatorRequestVersion {
		return SignedOperator{}, errs.New(errs.Invalid, "INVALID_OPERATOR_REQUEST", "the request is of version %d, and this program knows %d", r.Version, operatorRequestVersion).
			WithNext("use the version of Covey that wrote it")
	}
	claims, err := rootClaims(r.Operator)
	if err != nil {
		return SignedOperator{}, err
	}
	if claims.Subject != root.PublicKey() {
		return SignedOperator{}, errs.New(errs.Invalid, "WRONG_ROOT", "the request is for the operator %s, and the root key is that of %s", claims.Subject, root.PublicKey())
	}
	keys := slices.Compact(slices.Sorted(slices.Values(r.SigningKeys)))
	if len(keys) == 0 {
		return SignedOperator{}, errs.New(errs.Invalid, "INVALID_OPERATOR_REQUEST", "the request leaves the operator without a signing key")
	}
	for _, key := range keys {
		if !nkeys.IsValidPublicOperatorKey(key) {
			return SignedOperator{}, errs.New(errs.Invalid, "INVALID_OPERATOR_REQUEST", "%q is not a public operator nkey", key)
		}
	}
	out := SignedOperator{PublicKey: claims.Subject, Added: without(keys, claims.SigningKeys), Removed: without(claims.SigningKeys, keys)}
	claims.SigningKeys = keys
	out.JWT, err = sign(claims, root)
	return out, err
}

// without returns what of all is not in others.
func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(others, s) })
}

// rootClaims reads an operator's claims, which its root key has to sign.
func rootClaims(text string) (*jwt.OperatorClaims, error) {
	claims, err := jwt.DecodeOperatorClaims(strings.TrimSpace(text))
	if err != nil {
		return nil, errForeign("an operator", err)
	}
	if claims.Subject != claims.Issuer {
		return nil, errs.New(errs.Invalid, "OPERATOR_JWT_WRONG", "the operator's JWT is signed by %s, and brokers believe one that the root key %s signed", claims.Issuer, claims.Subject)
	}
	return claims, nil
}

// OperatorTerms is what a new JWT of an operator must keep to.
type OperatorTerms struct {
	PublicKey     string
	SystemAccount string
	Listed        []string // signing keys that are needed
	Retired       []string // signing keys that must be gone
}

// CheckOperator reads a new JWT of an operator, and says what is wrong with it.
func CheckOperator(text string, terms OperatorTerms) (string, error) {
	claims, err := rootClaims(text)
	if err != nil {
		return "", err
	}
	wrong := func(format string, args ...any) error {
		return errs.New(errs.Invalid, "OPERATOR_JWT_WRONG", format, args...).WithField("operator_jwt").
			WithNext("`covey admin operator request` prints what is to be signed, `covey admin operator sign` signs it")
	}
	if claims.Subject != terms.PublicKey {
		return "", wrong("the JWT is of the operator %s, not %s", claims.Subject, terms.PublicKey)
	}
	if claims.SystemAccount != terms.SystemAccount {
		return "", wrong("the JWT names the system account %q, not %s", claims.SystemAccount, terms.SystemAccount)
	}
	if claims.Expires != 0 {
		return "", wrong("the JWT expires, and all accounts with it")
	}
	for _, key := range terms.Listed {
		if !slices.Contains(claims.SigningKeys, key) {
			return "", wrong("the JWT does not list the signing key %s", key)
		}
	}
	for _, key := range terms.Retired {
		if slices.Contains(claims.SigningKeys, key) {
			return "", wrong("the JWT lists the signing key %s, which is to be refused", key)
		}
	}
	return strings.TrimSpace(text), nil
}

// SignAgain signs an account's claims again, by another key of its operator. All
// else stays, also what has expired since it was made.
func SignAgain(text string, operator Signer) (string, error) {
	claims, err := jwt.DecodeAccountClaims(text)
	if err != nil {
		return "", fmt.Errorf("read claims: %w", err)
	}
	return signUnchecked(claims, operator)
}

// IssuerOf returns which key signed an account's claims.
func IssuerOf(text string) (string, error) {
	claims, err := jwt.DecodeAccountClaims(text)
	if err != nil {
		return "", fmt.Errorf("read claims: %w", err)
	}
	return claims.Issuer, nil
}
