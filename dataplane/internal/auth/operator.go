package auth

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// Authenticator decides who a connection is.
type Authenticator interface {
	// Required says whether clients are asked before they may do anything.
	Required() bool
	// Greeting is what a client is told before it says anything.
	Greeting() Greeting
	// Authenticate checks what the client showed. The error is an
	// *account.Refusal.
	Authenticate(ctx context.Context, c *Connect, nonce string, remote netip.Addr) (*account.Identity, error)
}

// Greeting is what depends on authentication before a client has said who it is.
type Greeting struct {
	// AuthRequired tells the client to show something.
	AuthRequired bool
	// Nonce says that somebody may have to sign one.
	Nonce bool
	// Anonymous admits a client that does not even send CONNECT.
	Anonymous bool
}

// Operator authenticates by user JWTs whose accounts an operator signed.
type Operator struct {
	accounts *account.Registry
	verified *verified
	sentinel atomic.Pointer[string] // nil for none
}

// NewOperator returns an authenticator by the accounts of a registry.
func NewOperator(accounts *account.Registry) *Operator {
	return &Operator{accounts: accounts, verified: newVerified(verifiedMax)}
}

// Required is always true.
func (o *Operator) Required() bool { return true }

// Greeting asks for a JWT and a signature.
func (o *Operator) Greeting() Greeting { return Greeting{AuthRequired: true, Nonce: true} }

// Authenticate verifies the user JWT, the signature of the nonce, and that the
// account trusts the key that signed the user.
func (o *Operator) Authenticate(ctx context.Context, c *Connect, nonce string, remote netip.Addr) (*account.Identity, error) {
	o.standIn(c)
	if c.JWT == "" {
		return nil, account.Violation("no user JWT was presented")
	}
	u, r := o.verified.user(c.JWT)
	if r != nil {
		return nil, r
	}
	now := time.Now()
	if r := u.checkTimes(now); r != nil {
		return nil, r
	}
	acct, err := o.accounts.Get(ctx, u.account)
	if err != nil {
		return nil, lookupRefusal(u.account, err)
	}
	state := acct.State()
	id := &account.Identity{
		Account: acct, User: u.subject, Name: u.name, Tags: u.tags, Issuer: u.issuer, IssuedAt: u.issuedAt,
		Claimed: &u.claimed, Remote: remote,
	}
	// Who cannot sign learns nothing of the user whose JWT it shows.
	if !state.Bearer(id) {
		if err := verifyNonce(u.subject, c.Sig, nonce); err != nil {
			return nil, account.Violation(err.Error())
		}
	}
	fit, r := state.Fit(id, now)
	if r != nil {
		return nil, r
	}
	return fit, nil
}

func accountOf(claims *jwt.UserClaims) string {
	if claims.IssuerAccount != "" {
		return claims.IssuerAccount
	}
	return claims.Issuer
}

// Unavailable is the refusal when it cannot be known who the client is. Its text
// is one that clients try again after.
var Unavailable = &account.Refusal{ //nolint:gochecknoglobals // constant
	Text: "Authentication Timeout", Reason: "Authentication Timeout",
	Log: "the account could not be looked up",
}

func lookupRefusal(key string, err error) error {
	if errors.Is(err, account.ErrUnknown) {
		return account.Violation("no such account: " + key)
	}
	if errors.Is(err, account.ErrUntrusted) || errors.Is(err, account.ErrInvalid) {
		return account.Violation("account claims refused: " + err.Error())
	}
	r := *Unavailable
	r.Log = "account " + key + " could not be looked up: " + err.Error()
	return &r
}

// checkClaims refuses what the jwt library finds impossible, as nats-server does:
// a malformed subject in a deny list would deny nothing.
func checkClaims(claims *jwt.UserClaims) error {
	vr := jwt.CreateValidationResults()
	claims.Validate(vr)
	return errors.Join(vr.Errors()...)
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}
