package accounts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/internal/errs"
)

// userJWTBytesMax keeps a CONNECT line with its signature and options under
// the 4 KB that a stock nats-server reads by default.
const userJWTBytesMax = 3000

// OperatorSpec is what the trust root says about itself.
type OperatorSpec struct {
	Name          string
	SigningKeys   []string // public operator nkeys that may sign accounts
	SystemAccount string   // public account nkey
}

// SignOperator signs the operator's claims with the root key.
func SignOperator(spec OperatorSpec, root Signer) (string, error) {
	claims := jwt.NewOperatorClaims(root.PublicKey())
	claims.Name = spec.Name
	claims.SigningKeys = jwt.StringList(slices.Sorted(slices.Values(spec.SigningKeys)))
	claims.SystemAccount = spec.SystemAccount
	return sign(claims, root)
}

// Role is a signing key group: what its keys sign carries no permissions of
// its own and gets the role's.
type Role struct {
	Name        string
	Permissions Permissions
	Limits      Limits   // of each of its users
	Keys        []string // public account nkeys
	Carried     Carried
}

// DefaultRole is the name of the role that every account begins with. It
// allows everything inside the account.
const DefaultRole = "default"

// AccountSpec is everything that an account's claims say.
type AccountSpec struct {
	PublicKey   string
	Name        string
	Limits      Limits
	Suspended   bool     // no connections at all
	Roles       []Role   // scoped signing keys
	Keys        []string // unscoped signing keys: users that carry their own permissions
	Revocations Revocations
	Exports     []Export
	Imports     []Import
	Callout     *Callout // nil: nobody else decides who connects
	Carried     Carried
}

// SignAccount signs an account's claims with an operator signing key. The same
// spec gives the same claims, apart from issue time and token id.
func SignAccount(spec AccountSpec, operator Signer) (string, error) {
	claims := jwt.NewAccountClaims(spec.PublicKey)
	if err := carry(spec.Carried, &claims.Account); err != nil {
		return "", err
	}
	claims.Name = spec.Name
	claims.Limits.Conn = orUnlimited(spec.Limits.Connections)
	claims.Limits.LeafNodeConn = orUnlimited(spec.Limits.LeafNodes)
	claims.Limits.Subs = orUnlimited(spec.Limits.Subscriptions)
	claims.Limits.Payload = orUnlimited(spec.Limits.PayloadBytes)
	claims.Limits.Data = orUnlimited(spec.Limits.DataBytes)
	claims.Tags.Add(QuotaTags(spec.Limits.Quotas)...)
	if spec.Suspended {
		claims.Limits.Conn, claims.Limits.LeafNodeConn = 0, 0
	}
	if err := spec.keys(claims); err != nil {
		return "", err
	}
	spec.Callout.claims(claims)
	claims.Revocations = spec.Revocations.claims()
	spec.sharing(claims)
	return sign(claims, operator)
}

// keys puts signing keys into claims. The account's own key signs anyway.
func (spec AccountSpec) keys(claims *jwt.AccountClaims) error {
	claims.SigningKeys = jwt.SigningKeys{}
	for _, key := range spec.Keys {
		if key != spec.PublicKey {
			claims.SigningKeys.Add(key)
		}
	}
	limited := make(map[string]bool)
	for _, role := range spec.Roles {
		scope, err := role.scope()
		if err != nil {
			return err
		}
		if len(role.Limits.Quotas) > 0 {
			name := strings.ToLower(scope.Role)
			if name == "" || limited[name] {
				return errs.New(errs.Invalid, "INVALID_CLAIMS", "limits of the role %q would be those of another role called %q", role.Name, scope.Role).
					WithNext("give its users the limits, or a role of another name")
			}
			limited[name] = true
			claims.Tags.Add(RoleQuotaTags(name, role.Limits.Quotas)...)
		}
		for _, key := range role.Keys {
			of := *scope
			of.Key = key
			claims.SigningKeys.AddScopedSigner(&of)
		}
	}
	return nil
}

// scope is what claims say of a role, but for its key.
func (r *Role) scope() (*jwt.UserScope, error) {
	scope := jwt.NewUserScope()
	scope.Role = r.Name
	if err := carry(r.Carried, scope); err != nil {
		return nil, err
	}
	scope.Template.Permissions = r.Permissions.claims()
	limitUser(&scope.Template.Limits, r.Limits)
	return scope, nil
}

// limitUser puts into the claims of a user what its limits say.
func limitUser(to *jwt.Limits, l Limits) {
	if l.Subscriptions != nil {
		to.Subs = *l.Subscriptions
	}
	if l.PayloadBytes != nil {
		to.Payload = *l.PayloadBytes
	}
}

// UserSpec is everything that a user's claims say.
type UserSpec struct {
	PublicKey   string
	Name        string
	AccountKey  string       // the account's public nkey
	Permissions *Permissions // nil when the signing key is a role's
	Limits      Limits       // of the user alone
	Expires     time.Time    // zero: never
	Carried     Carried
}

// Token is a signed user JWT and what its issuer must remember of it.
type Token struct {
	JWT      string
	ID       string // jti
	IssuedAt time.Time
}

// SignUser signs a user's claims with a signing key of its account: a role's
// key when spec has no permissions, an unscoped one when it has.
func SignUser(spec UserSpec, key Signer) (Token, error) {
	claims := jwt.NewUserClaims(spec.PublicKey)
	if spec.Permissions == nil {
		claims.SetScoped(true)
	}
	if err := carry(spec.Carried, &claims.User); err != nil {
		return Token{}, err
	}
	claims.Name = spec.Name
	if key.PublicKey() != spec.AccountKey {
		claims.IssuerAccount = spec.AccountKey
	}
	if !spec.Expires.IsZero() {
		claims.Expires = spec.Expires.Unix()
	}
	if spec.Permissions != nil {
		claims.Permissions = spec.Permissions.claims()
		limitUser(&claims.Limits, spec.Limits)
	}
	claims.Tags.Add(QuotaTags(spec.Limits.Quotas)...)
	text, err := sign(claims, key)
	if err != nil {
		return Token{}, err
	}
	if len(text) > userJWTBytesMax {
		return Token{}, errs.New(errs.Invalid, "USER_JWT_TOO_LARGE", "the user's JWT would be %d bytes, more than %d", len(text), userJWTBytesMax).
			WithField("permissions").WithNext("put long permission lists into a role and give the user that role")
	}
	return Token{JWT: text, ID: claims.ID, IssuedAt: time.Unix(claims.IssuedAt, 0).UTC()}, nil
}

// sign checks claims as a strict reader would and signs them.
func sign(claims jwt.Claims, signer Signer) (string, error) {
	results := jwt.CreateValidationResults()
	claims.Validate(results)
	for _, issue := range results.Issues {
		if issue.Blocking {
			return "", errs.New(errs.Invalid, "INVALID_CLAIMS", "the claims would not be accepted: %s", issue.Description)
		}
	}
	return signUnchecked(claims, signer)
}

// signUnchecked signs claims that were checked when they were made.
func signUnchecked(claims jwt.Claims, signer Signer) (string, error) {
	pair, err := nkeys.FromPublicKey(signer.PublicKey())
	if err != nil {
		return "", fmt.Errorf("read signer's public key: %w", err)
	}
	text, err := encode(claims, pair, func(_ string, data []byte) ([]byte, error) { return signer.Sign(data) })
	if err != nil {
		return "", fmt.Errorf("sign claims: %w", err)
	}
	return text, nil
}

func encode(claims jwt.Claims, pair nkeys.KeyPair, fn jwt.SignFn) (string, error) {
	switch c := claims.(type) {
	case *jwt.OperatorClaims:
		return c.EncodeWithSigner(pair, fn)
	case *jwt.AccountClaims:
		return c.EncodeWithSigner(pair, fn)
	case *jwt.UserClaims:
		return c.EncodeWithSigner(pair, fn)
	case *jwt.ActivationClaims:
		return c.EncodeWithSigner(pair, fn)
	case *jwt.GenericClaims:
		return c.EncodeWithSigner(pair, fn)
	}
	return "", fmt.Errorf("claims of type %T are not issued here", claims)
}
