package auth

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/permission"
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
	Accounts *account.Registry
}

// Required is always true.
func (o *Operator) Required() bool { return true }

// Greeting asks for a JWT and a signature.
func (o *Operator) Greeting() Greeting { return Greeting{AuthRequired: true, Nonce: true} }

// Authenticate verifies the user JWT, the signature of the nonce, and that the
// account trusts the key that signed the user.
func (o *Operator) Authenticate(ctx context.Context, c *Connect, nonce string, remote netip.Addr) (*account.Identity, error) {
	if c.JWT == "" {
		return nil, account.Violation("no user JWT was presented")
	}
	claims, err := jwt.DecodeUserClaims(c.JWT)
	if err != nil {
		return nil, account.Violation("malformed user JWT: " + firstLine(err))
	}
	now := time.Now()
	if r := checkTimes(claims, now); r != nil {
		return nil, r
	}
	if err := checkClaims(claims); err != nil {
		return nil, account.Violation("invalid user JWT: " + firstLine(err))
	}
	acct, err := o.Accounts.Get(ctx, accountOf(claims))
	if err != nil {
		return nil, lookupRefusal(accountOf(claims), err)
	}
	state := acct.State()
	limits, scope, err := effective(acct, state, claims)
	if err != nil {
		return nil, err
	}
	if limits.BearerToken && state.NoBearer {
		return nil, account.Violation("the account does not allow bearer tokens")
	}
	if err := checkSource(limits, remote, now); err != nil {
		return nil, account.Violation(err.Error())
	}
	if err := checkSignature(claims.Subject, limits, c, nonce); err != nil {
		return nil, account.Violation(err.Error())
	}
	return identify(acct, state, claims, limits, scope)
}

// effective returns the limits that hold for a user: its own, or its role's.
func effective(acct *account.Account, state *account.State, claims *jwt.UserClaims) (*jwt.UserPermissionLimits, *account.Scope, error) {
	scope, listed := state.Signers[claims.Issuer]
	switch {
	case !listed:
		return nil, nil, account.Violation("the user is signed by " + claims.Issuer + ", which account " + acct.Key + " does not list")
	case scope == nil:
		return &claims.UserPermissionLimits, nil, nil
	case !claims.HasEmptyPermissions():
		return nil, nil, account.Violation("the user has permissions of its own beside the role " + scope.Role)
	}
	return &scope.Limits, scope, nil
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
	if errors.Is(err, account.ErrUntrusted) {
		return account.Violation("account claims refused: " + err.Error())
	}
	r := *Unavailable
	r.Log = "account " + key + " could not be looked up: " + err.Error()
	return &r
}

func checkTimes(claims *jwt.UserClaims, now time.Time) *account.Refusal {
	switch {
	case claims.Expires != 0 && now.Unix() >= claims.Expires:
		r := *account.UserExpired
		r.Log = "the user's credential expired at " + time.Unix(claims.Expires, 0).UTC().Format(time.RFC3339)
		return &r
	case claims.NotBefore > now.Unix():
		return account.Violation("the user's credential is not valid before " + time.Unix(claims.NotBefore, 0).UTC().Format(time.RFC3339))
	}
	return nil
}

// checkClaims refuses what the jwt library finds impossible, as nats-server does:
// a malformed subject in a deny list would deny nothing.
func checkClaims(claims *jwt.UserClaims) error {
	vr := jwt.CreateValidationResults()
	claims.Validate(vr)
	return errors.Join(vr.Errors()...)
}

func checkSource(l *jwt.UserPermissionLimits, remote netip.Addr, now time.Time) error {
	if len(l.Src) > 0 && !slices.ContainsFunc(l.Src, func(cidr string) bool {
		p, err := netip.ParsePrefix(cidr)
		return err == nil && p.Contains(remote.Unmap())
	}) {
		return errors.New("the user may not connect from " + remote.String())
	}
	if ok, _ := validTimes(l, now); !ok {
		return errors.New("the user may not connect at this time of day")
	}
	if types := l.AllowedConnectionTypes; len(types) > 0 && !slices.ContainsFunc(types, func(t string) bool {
		return strings.EqualFold(t, jwt.ConnectionTypeStandard)
	}) {
		return errors.New("the user may not use this kind of connection")
	}
	return nil
}

// validTimes reports whether now lies in one of the daily windows, and when the
// window it lies in ends.
func validTimes(l *jwt.UserPermissionLimits, now time.Time) (bool, time.Time) {
	if len(l.Times) == 0 {
		return true, time.Time{}
	}
	loc, err := time.LoadLocation(l.Locale)
	if err != nil {
		return false, time.Time{}
	}
	now = now.In(loc)
	for _, w := range l.Times {
		start, err1 := onDay(now, w.Start)
		end, err2 := onDay(now, w.End)
		if err1 != nil || err2 != nil {
			continue
		}
		if start.After(end) {
			if now.Before(end) {
				start = start.AddDate(0, 0, -1)
			} else {
				end = end.AddDate(0, 0, 1)
			}
		}
		if !now.Before(start) && now.Before(end) {
			return true, end
		}
	}
	return false, time.Time{}
}

func onDay(day time.Time, clock string) (time.Time, error) {
	t, err := time.Parse("15:04:05", clock)
	if err != nil {
		return time.Time{}, err
	}
	return time.Date(day.Year(), day.Month(), day.Day(), t.Hour(), t.Minute(), t.Second(), 0, day.Location()), nil
}

func checkSignature(user string, l *jwt.UserPermissionLimits, c *Connect, nonce string) error {
	if l.BearerToken {
		return nil
	}
	return verifyNonce(user, c.Sig, nonce)
}

// identify makes the identity. Whether the account admits it is decided by Join.
func identify(acct *account.Account, state *account.State, claims *jwt.UserClaims, l *jwt.UserPermissionLimits, scope *account.Scope) (*account.Identity, error) {
	id := &account.Identity{
		Account: acct, State: state, User: claims.Subject, Name: claims.Name, Issuer: claims.Issuer,
		IssuedAt: claims.IssuedAt, Expires: claims.Expires,
		Limits: account.Limits{
			Connections: account.NoLimit, Leafs: account.NoLimit,
			Subscriptions: l.Subs, Payload: l.Payload,
		},
	}
	if ok, until := validTimes(l, time.Now()); ok && !until.IsZero() && (id.Expires == 0 || until.Unix() < id.Expires) {
		id.Expires = until.Unix()
	}
	if scope != nil {
		p, err := scope.Template(id)
		if err != nil {
			return nil, account.Violation("the user's role " + scope.Role + ": " + err.Error())
		}
		id.Permissions = p
		return id, nil
	}
	id.Permissions = permission.New(&claims.Permissions)
	if id.Permissions == nil {
		id.Permissions = state.Default
	}
	return id, nil
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}
