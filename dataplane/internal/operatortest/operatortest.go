// Package operatortest makes operators, accounts and users for tests, and a
// source of accounts that a test controls. Nothing but tests imports it.
package operatortest

import (
	"context"
	"encoding/base64"
	"sync"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// Must returns v, or ends the test.
func Must[T any](tb testing.TB, v T, err error) T {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// Operator is a root of trust with one signing key.
type Operator struct {
	tb     testing.TB
	root   nkeys.KeyPair
	signer nkeys.KeyPair

	Key string // public
	JWT string
}

// New makes an operator.
func New(tb testing.TB) *Operator {
	tb.Helper()
	root, err := nkeys.CreateOperator()
	o := &Operator{tb: tb, root: Must(tb, root, err)}
	signer, err := nkeys.CreateOperator()
	o.signer = Must(tb, signer, err)
	o.Key = public(tb, o.root)
	claims := jwt.NewOperatorClaims(o.Key)
	claims.SigningKeys.Add(public(tb, o.signer))
	token, err := claims.Encode(o.root)
	o.JWT = Must(tb, token, err)
	return o
}

// WithSystem returns the operator's JWT with a system account.
func (o *Operator) WithSystem(account string) string {
	o.tb.Helper()
	claims, err := jwt.DecodeOperatorClaims(o.JWT)
	claims = Must(o.tb, claims, err)
	claims.SystemAccount = account
	token, err := claims.Encode(o.root)
	return Must(o.tb, token, err)
}

// Deletion returns the request to delete accounts.
func (o *Operator) Deletion(keys ...string) string {
	o.tb.Helper()
	claims := jwt.NewGenericClaims(o.Key)
	claims.Data["accounts"] = keys
	token, err := claims.Encode(o.root)
	return Must(o.tb, token, err)
}

func public(tb testing.TB, kp nkeys.KeyPair) string {
	tb.Helper()
	key, err := kp.PublicKey()
	return Must(tb, key, err)
}

// Account is an account under an operator. Change Claims and sign again.
type Account struct {
	operator *Operator
	kp       nkeys.KeyPair
	Key      string
	Claims   *jwt.AccountClaims
}

// Account makes an account.
func (o *Operator) Account(name string) *Account {
	o.tb.Helper()
	kp, err := nkeys.CreateAccount()
	a := &Account{operator: o, kp: Must(o.tb, kp, err)}
	a.Key = public(o.tb, a.kp)
	a.Claims = jwt.NewAccountClaims(a.Key)
	a.Claims.Name = name
	return a
}

// KeyPair returns the account's own key.
func (a *Account) KeyPair() nkeys.KeyPair { return a.kp }

// Issue signs a user's claims with the account's own key.
func (a *Account) Issue(claims *jwt.UserClaims) string {
	a.operator.tb.Helper()
	token, err := claims.Encode(a.kp)
	return Must(a.operator.tb, token, err)
}

// Token signs the account's claims with the operator's signing key.
func (a *Account) Token() string { return a.TokenBy(a.operator.signer) }

// TokenByRoot signs with the operator's root key.
func (a *Account) TokenByRoot() string { return a.TokenBy(a.operator.root) }

// TokenBySelf signs with the account's own key.
func (a *Account) TokenBySelf() string { return a.TokenBy(a.kp) }

// TokenBy signs with any key.
func (a *Account) TokenBy(kp nkeys.KeyPair) string {
	a.operator.tb.Helper()
	token, err := a.Claims.Encode(kp)
	return Must(a.operator.tb, token, err)
}

// SigningKey adds a plain signing key to the claims.
func (a *Account) SigningKey() nkeys.KeyPair {
	a.operator.tb.Helper()
	kp, err := nkeys.CreateAccount()
	kp = Must(a.operator.tb, kp, err)
	a.Claims.SigningKeys.Add(public(a.operator.tb, kp))
	return kp
}

// Role adds a scoped signing key to the claims.
func (a *Account) Role(name string, p jwt.Permissions) nkeys.KeyPair {
	a.operator.tb.Helper()
	kp, err := nkeys.CreateAccount()
	kp = Must(a.operator.tb, kp, err)
	a.SetRole(kp, name, p)
	return kp
}

// SetRole replaces the template of a scoped signing key.
func (a *Account) SetRole(kp nkeys.KeyPair, name string, p jwt.Permissions) {
	scope := jwt.NewUserScope()
	scope.Key, scope.Role = public(a.operator.tb, kp), name
	scope.Template.Permissions = p
	a.Claims.SigningKeys.AddScopedSigner(scope)
}

// User is a user with its key.
type User struct {
	tb    testing.TB
	kp    nkeys.KeyPair
	Key   string
	Token string
}

// User makes a user signed by the account's own key.
func (a *Account) User(name string, change func(*jwt.UserClaims)) *User {
	return a.UserBy(a.kp, name, change)
}

// UserBy makes a user signed by another key. Users of a role are made with
// ScopedUser.
func (a *Account) UserBy(kp nkeys.KeyPair, name string, change func(*jwt.UserClaims)) *User {
	tb := a.operator.tb
	tb.Helper()
	user, err := nkeys.CreateUser()
	u := &User{tb: tb, kp: Must(tb, user, err)}
	u.Key = public(tb, u.kp)
	claims := jwt.NewUserClaims(u.Key)
	claims.Name = name
	if public(tb, kp) != a.Key {
		claims.IssuerAccount = a.Key
	}
	if change != nil {
		change(claims)
	}
	token, err := claims.Encode(kp)
	u.Token = Must(tb, token, err)
	return u
}

// ScopedUser makes a user of a role.
func (a *Account) ScopedUser(role nkeys.KeyPair, name string) *User {
	return a.UserBy(role, name, func(c *jwt.UserClaims) { c.SetScoped(true) })
}

// Seed returns the user's secret key.
func (u *User) Seed() string {
	u.tb.Helper()
	seed, err := u.kp.Seed()
	return string(Must(u.tb, seed, err))
}

// Sign signs a nonce.
func (u *User) Sign(nonce string) string {
	u.tb.Helper()
	sig, err := u.kp.Sign([]byte(nonce))
	return base64.RawURLEncoding.EncodeToString(Must(u.tb, sig, err))
}

// Source is a source of accounts in memory.
type Source struct {
	// Before, if set, is called at the beginning of each Lookup.
	Before func(key string) error

	mu       sync.Mutex
	claims   map[string]entry // guarded by mu, as is all below
	lookups  int
	revision int64
	held     map[string]bool
}

type entry struct {
	token    string
	revision int64
}

// NewSource returns a source that has accounts.
func NewSource(accounts ...*Account) *Source {
	s := &Source{claims: make(map[string]entry), held: make(map[string]bool)}
	for _, a := range accounts {
		s.Put(a.Key, a.Token())
	}
	return s
}

// Put stores claims and returns their revision.
func (s *Source) Put(key, token string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.claims[key] = entry{token, s.revision}
	return s.revision
}

// Remove deletes an account and returns the revision of that.
func (s *Source) Remove(key string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.claims, key)
	return s.revision
}

// Lookup returns what was put.
func (s *Source) Lookup(_ context.Context, key string) (string, int64, error) {
	if s.Before != nil {
		if err := s.Before(key); err != nil {
			return "", 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups++
	e, ok := s.claims[key]
	if !ok {
		return "", 0, account.ErrUnknown
	}
	return e.token, e.revision, nil
}

// Hold notes that an account is loaded.
func (s *Source) Hold(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[key] = true
}

// Drop notes that it is not any more.
func (s *Source) Drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, key)
}

// Held reports whether an account is held.
func (s *Source) Held(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[key]
}

// Lookups returns how many there were.
func (s *Source) Lookups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lookups
}

// Activation signs an activation token with the account's own key.
func (a *Account) Activation(claims *jwt.ActivationClaims) string {
	a.operator.tb.Helper()
	token, err := claims.Encode(a.kp)
	return Must(a.operator.tb, token, err)
}
