package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/effort"
	"github.com/coveymq/covey/dataplane/internal/permission"
)

// Unlimited are the limits of what a configuration does not limit.
func Unlimited() account.Limits {
	return account.Limits{
		Connections: account.NoLimit, Leafs: account.NoLimit,
		Subscriptions: account.NoLimit, Payload: account.NoLimit,
	}
}

// Static authenticates by a configuration. Immutable.
type Static struct {
	access *Access
	shared *account.Identity  // of all that are nobody in particular
	users  map[string]*member // by name
	keys   map[string]*member // by public key

	accounts func(name string) *account.Account
}

// member is a user with what connections as it share.
type member struct {
	user     *User
	identity *account.Identity
}

// NewStatic returns an authenticator for an access. Accounts gives the account
// of a name.
func NewStatic(a *Access, accounts func(name string) *account.Account) *Static {
	shown := a.User
	if a.Token != "" {
		shown = HiddenToken
	}
	s := &Static{
		access: a, accounts: accounts,
		shared: &account.Identity{Account: accounts(GlobalAccount), User: shown, Name: a.User, Limits: Unlimited()},
		users:  make(map[string]*member), keys: make(map[string]*member),
	}
	a.Callout.deny(s.shared)
	for i := range a.Users {
		u := &a.Users[i]
		name := u.Account
		if name == "" {
			name = GlobalAccount
		}
		m := &member{user: u, identity: &account.Identity{
			Account: accounts(name), User: u.ID(), Name: u.Name, Limits: Unlimited(), Quotas: u.Quotas,
		}}
		if u.Permissions != nil {
			m.identity.Permissions = permission.New(u.Permissions)
		}
		a.Callout.deny(m.identity)
		if u.Nkey != "" {
			s.keys[u.Nkey] = m
		} else {
			s.users[u.Name] = m
		}
	}
	return s
}

// Callout returns who decides about others than its own users; nil for nobody.
func (s *Static) Callout() *Callout { return s.access.Callout }

// Required reports whether there is anything to show.
func (s *Static) Required() bool {
	a := s.access
	return a.HasUsers || len(a.Users) > 0 || a.User != "" || a.Token != ""
}

// Greeting asks for what the configuration asks for. Clients are not told to
// show something if showing nothing makes them somebody, but where only the
// system account has users; that is how nats-server has it.
func (s *Static) Greeting() Greeting {
	a := s.access
	return Greeting{
		AuthRequired: s.Required() && a.NoAuthUser == "",
		Nonce:        len(s.keys) > 0,
		Anonymous:    a.SystemOnly || s.users[a.NoAuthUser] != nil,
	}
}

// Authenticate finds the user whose secret the client knows.
func (s *Static) Authenticate(_ context.Context, c *Connect, nonce string, _ netip.Addr) (*account.Identity, error) {
	if !s.Required() {
		return s.shared, nil
	}
	if s.mapped(c) {
		return s.byCertificate(c)
	}
	if c.showsNothing() && (c.Nkey == "" || len(s.keys) == 0) {
		if m := s.fallback(); m != nil {
			return s.admit(m)
		}
		if s.access.SystemOnly {
			return s.shared, nil
		}
	}
	if c.Nkey != "" && len(s.keys) > 0 {
		return s.byKey(c, nonce)
	}
	if c.Username != "" && len(s.users) > 0 {
		m := s.users[c.Username]
		// Whoever guesses names learns nothing from the time it takes.
		if m == nil || !m.user.Password.matches(c.Password) {
			return nil, account.Violation("wrong user or password")
		}
		return s.admit(m)
	}
	return s.byShared(c)
}

// fallback returns the user of clients that show nothing.
func (s *Static) fallback() *member {
	if m := s.keys[s.access.NoAuthUser]; m != nil {
		return m
	}
	return s.users[s.access.NoAuthUser]
}

func (s *Static) byKey(c *Connect, nonce string) (*account.Identity, error) {
	m := s.keys[c.Nkey]
	if m == nil {
		return nil, account.Violation("unknown nkey " + c.Nkey)
	}
	if c.Nkey != s.access.NoAuthUser {
		if err := verifyNonce(c.Nkey, c.Sig, nonce); err != nil {
			return nil, account.Violation(err.Error())
		}
	}
	return s.admit(m)
}

// byShared checks what all clients share.
func (s *Static) byShared(c *Connect) (*account.Identity, error) {
	a := s.access
	switch {
	case a.Token != "" && a.Token.matches(c.Token):
		return s.shared, nil
	case a.Token != "":
		return nil, account.Violation("wrong token")
	case a.User != "" && a.User == c.Username && a.Password.matches(c.Password):
		return s.shared, nil
	case a.User != "":
		return nil, account.Violation("wrong user or password")
	}
	return nil, account.Violation("the client showed neither a user nor a key")
}

func (s *Static) admit(m *member) (*account.Identity, error) {
	if !m.standard() {
		return nil, account.Violation("the user may not use this kind of connection")
	}
	return m.identity, nil
}

// standard reports whether the user may use connections of this kind.
func (m *member) standard() bool {
	k := m.user.Kinds
	return len(k) == 0 || slices.ContainsFunc(k, func(kind string) bool {
		return strings.EqualFold(kind, jwt.ConnectionTypeStandard)
	})
}

// mapped reports whether the client's certificate says who it is: it does unless
// the client has, or counts as one who has, a key.
func (s *Static) mapped(c *Connect) bool {
	if !s.access.Map || len(s.users) == 0 {
		return false
	}
	key := c.Nkey != "" || c.showsNothing() && s.keys[s.access.NoAuthUser] != nil
	return !key || len(s.keys) == 0
}

// verifyNonce checks a signature of the nonce.
func verifyNonce(key, sig, nonce string) error {
	if sig == "" {
		return errors.New("the nonce was not signed")
	}
	raw, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil {
		if raw, err = base64.StdEncoding.DecodeString(sig); err != nil {
			return errors.New("the signature of the nonce is not base64")
		}
	}
	pub, err := nkeys.FromPublicKey(key)
	if err != nil {
		return errors.New("not a user's public key: " + key)
	}
	effort.Signatures.Do(func() { err = pub.Verify([]byte(nonce), raw) })
	if err != nil {
		return errors.New("the nonce was signed by another key than that of " + key)
	}
	return nil
}

// Keeps reports whether a connection that s admitted as id may stay under next,
// and with which rules. A user whose secret, account or kinds have changed must
// show who it is again.
func (s *Static) Keeps(next *Static, id *account.Identity) (*permission.Set, bool) {
	if id.External {
		return id.Permissions, next.access.Callout != nil && s.access.Callout.Same(next.access.Callout) && next.accounts(id.Account.Key) == id.Account
	}
	if !s.access.Callout.Same(next.access.Callout) {
		return nil, false // somebody else may have to decide
	}
	before, after := s.find(id.User), next.find(id.User)
	if before == nil && after == nil {
		return nil, s.sameShared(next)
	}
	if before == nil || after == nil {
		return nil, false
	}
	if s.access.Map != next.access.Map {
		return nil, false // what it showed is not what is asked for now
	}
	if id.User == s.access.NoAuthUser && id.User != next.access.NoAuthUser {
		return nil, false // it may have shown nothing
	}
	b, a := *before.user, *after.user
	if answers(&b) != answers(&a) {
		return nil, false // a connection learns that when it connects
	}
	b.Permissions, a.Permissions = nil, nil
	if !reflect.DeepEqual(b, a) || before.identity.Account != after.identity.Account {
		return nil, false
	}
	return after.identity.Permissions, true
}

// Made reports whether s itself made an identity.
func (s *Static) Made(id *account.Identity) bool {
	if m := s.find(id.User); m != nil {
		return m.identity == id
	}
	return id == s.shared
}

func answers(u *User) bool { return u.Permissions != nil && u.Permissions.Resp != nil }

func (s *Static) find(id string) *member {
	if m := s.keys[id]; m != nil {
		return m
	}
	return s.users[id]
}

// sameShared reports whether what all clients share is the same.
func (s *Static) sameShared(next *Static) bool {
	a, b := s.access, next.access
	return s.Required() == next.Required() && a.SystemOnly == b.SystemOnly && a.Token == b.Token && a.User == b.User && a.Password == b.Password
}
