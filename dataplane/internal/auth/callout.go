package auth

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// Callout is a service that decides who a connection is, as a configuration has
// it: the clients of an account answer for those that are not its own users.
type Callout struct {
	// Issuer is the public key with which the service signs.
	Issuer string
	// Account is where the service is.
	Account string
	// Users are admitted without asking: the service's own, and others.
	Users []string
	// Allowed are the accounts whose users the service is asked about; nil for all.
	Allowed []string
	// XKey is the service's public curve key, to encrypt for; empty to encrypt
	// nothing.
	XKey string
}

// Asker carries a request to the service of an account, and its answer back.
type Asker interface {
	Ask(ctx context.Context, a *account.Account, header, body []byte) ([]byte, error)
}

// ErrNobody is what an Asker returns if there is no service.
var ErrNobody = errors.New("no authorization service listens")

// Broker is who asks.
type Broker struct {
	Key     nkeys.KeyPair // signs the requests; its public key is the broker's id
	XKey    nkeys.KeyPair // decrypts the answers
	ID      string
	Name    string
	Host    string
	Version string
	Cluster func() string
	Tags    func() []string
	Timeout func() time.Duration // for an answer
}

// Delegate is an authenticator that lets services decide where there are any.
// What they say is not remembered: each connect asks.
type Delegate struct {
	Authenticator
	broker   Broker
	accounts *account.Registry
	asker    Asker
	callout  func() *Callout
}

// NewDelegate returns an authenticator that asks services after inner has said
// who a client is. Callout is the configuration's, which may be nil; with an
// operator, accounts have services of their own.
func NewDelegate(inner Authenticator, b Broker, accounts *account.Registry, asker Asker, callout func() *Callout) *Delegate {
	return &Delegate{Authenticator: inner, broker: b, accounts: accounts, asker: asker, callout: callout}
}

// service is who decides about one client.
type service struct {
	account  *account.Account
	subject  string // of the request
	xkey     string
	operator bool // an operator signs the accounts
	signs    func(key string) bool
	allows   func(account string) bool // whether it may issue users of another account
}

// Authenticate asks the inner authenticator, and then the service, if there is
// one for the client.
func (d *Delegate) Authenticate(ctx context.Context, c *Connect, nonce string, remote netip.Addr) (*account.Identity, error) {
	id, err := d.Authenticator.Authenticate(ctx, c, nonce, remote)
	s, fault := d.service(c, id, err)
	if s == nil || fault != nil {
		return id, errors.Join(fault, err)
	}
	ctx, cancel := context.WithTimeout(ctx, d.broker.Timeout())
	defer cancel()
	id, err = d.ask(ctx, s, c, id, nonce, remote)
	var r *account.Refusal
	if errors.As(err, &r) {
		told := *r
		told.Account = s.account
		return nil, &told
	}
	return id, err
}

// service returns who is to decide about a client; nil if what the inner
// authenticator says holds.
func (d *Delegate) service(c *Connect, id *account.Identity, err error) (*service, error) {
	if co := d.callout(); co != nil {
		return d.configured(co, c, id, err)
	}
	if err != nil || id.State == nil || id.State.External == nil || slices.Contains(id.State.External.Users, id.User) {
		return nil, nil //nolint:nilerr,nilnil // what the inner one says holds, an error too
	}
	ext, own := id.State.External, id.Account
	return &service{
		account: own, subject: own.Key, xkey: ext.XKey, operator: true,
		signs: func(key string) bool {
			_, ok := own.State().Signers[key]
			return key == own.Key || ok
		},
		allows: func(other string) bool {
			return slices.Contains(ext.Accounts, other) || slices.Contains(ext.Accounts, jwt.AnyAccount)
		},
	}, nil
}

// configured does the same for the service of a configuration.
func (d *Delegate) configured(co *Callout, c *Connect, id *account.Identity, err error) (*service, error) {
	switch {
	case err != nil && (slices.Contains(co.Users, c.Username) || slices.Contains(co.Users, c.Nkey)):
		return nil, nil //nolint:nilnil // one of its own, with a wrong secret
	case err != nil:
	case slices.Contains(co.Users, id.User):
		return nil, nil
	case id.Account.Key != GlobalAccount && len(co.Allowed) > 0 && !slices.Contains(co.Allowed, id.Account.Key):
		return nil, nil
	}
	a := d.accounts.Loaded(co.Account)
	if a == nil {
		return nil, account.Violation("the account of the authorization service does not exist: " + co.Account)
	}
	return &service{
		account: a, subject: co.Issuer, xkey: co.XKey,
		signs: func(key string) bool { return key == co.Issuer },
	}, nil
}

// Subjects and headers of requests to services.
const (
	calloutAudience = "nats-authorization-request"
	calloutXKey     = "Nats-Server-Xkey"
)

// ask lets the service decide about a client, of whom the inner authenticator says
// that it is who; nil if that knows nobody.
func (d *Delegate) ask(ctx context.Context, s *service, c *Connect, who *account.Identity, nonce string, remote netip.Addr) (*account.Identity, error) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		return nil, unanswered(err)
	}
	user, err := kp.PublicKey()
	if err != nil {
		return nil, unanswered(err)
	}
	header, body, err := d.request(s, c, who, user, nonce, remote)
	if err != nil {
		return nil, unanswered(err)
	}
	answer, err := d.asker.Ask(ctx, s.account, header, body)
	if err != nil {
		return nil, unanswered(err)
	}
	claims, err := d.read(s, answer, user)
	if err != nil {
		return nil, account.Violation(err.Error())
	}
	return d.admit(ctx, s, claims, c, user, remote)
}

// unanswered is the refusal of a client about which nobody has decided: it may
// try again.
func unanswered(err error) *account.Refusal {
	r := *Unavailable
	r.Log = "the authorization service did not decide: " + err.Error()
	return &r
}

// request makes the claims of a request, signed and maybe encrypted.
func (d *Delegate) request(s *service, c *Connect, who *account.Identity, user, nonce string, remote netip.Addr) (header, body []byte, err error) {
	b := &d.broker
	claims := jwt.NewAuthorizationRequestClaims(s.subject)
	claims.Audience, claims.UserNkey = calloutAudience, user
	claims.Expires = time.Now().Add(b.Timeout()).Unix()
	claims.Server = jwt.ServerID{Name: b.Name, Host: b.Host, ID: b.ID, Version: b.Version, Cluster: b.Cluster(), Tags: b.Tags()}
	claims.ClientInformation = jwt.ClientInformation{
		Host: remote.Unmap().String(), ID: c.Presence.ID, User: c.Claims(), Name: c.Name, Kind: "Client", Type: "nats",
	}
	if who != nil && who.Claimed != nil {
		claims.ClientInformation.Tags, claims.ClientInformation.NameTag = who.Tags, who.Name
	}
	if c.Sig != "" {
		claims.ClientInformation.Nonce = nonce
	}
	claims.ConnectOptions = jwt.ConnectOptions{
		JWT: c.JWT, Nkey: c.Nkey, SignedNonce: c.Sig, Token: c.Token, Username: c.Username, Password: c.Password,
		Name: c.Name, Lang: c.Lang, Version: c.Version, Protocol: c.Protocol,
	}
	if c.Presence.TLS != nil {
		claims.TLS = c.Presence.TLS.ClientTLS()
	}
	if s.xkey != "" {
		if claims.Server.XKey, err = b.XKey.PublicKey(); err != nil {
			return nil, nil, err
		}
	}
	token, err := claims.Encode(b.Key)
	if err != nil || s.xkey == "" {
		return nil, []byte(token), err
	}
	body, err = b.XKey.Seal([]byte(token), s.xkey)
	return []byte("NATS/1.0\r\n" + calloutXKey + ": " + claims.Server.XKey + "\r\n\r\n"), body, err
}

// read returns the user that an answer names. An error says why there is none.
func (d *Delegate) read(s *service, answer []byte, user string) (*jwt.UserClaims, error) {
	if len(answer) == 0 {
		return nil, fmt.Errorf("the authorization service of account %s gave no reason", s.account.Key)
	}
	encrypted := s.xkey != "" && !bytes.HasPrefix(answer, []byte("eyJ"))
	if encrypted {
		var err error
		if answer, err = d.broker.XKey.Open(answer, s.xkey); err != nil {
			return nil, fmt.Errorf("the authorization service's answer cannot be decrypted: %w", err)
		}
	}
	r, err := jwt.DecodeAuthorizationResponseClaims(string(answer))
	if err != nil {
		return nil, fmt.Errorf("the authorization service's answer: %w", err)
	}
	if err := d.check(s, r, user, encrypted); err != nil {
		return nil, err
	}
	claims, err := jwt.DecodeUserClaims(r.Jwt)
	if err != nil {
		return nil, fmt.Errorf("the authorization service's user: %w", err)
	}
	if claims.Subject != user {
		return nil, errors.New("the authorization service's user is another one than was asked about")
	}
	return claims, nil
}

// check says what is wrong with an answer, or why the service refuses.
func (d *Delegate) check(s *service, r *jwt.AuthorizationResponseClaims, user string, encrypted bool) error {
	vr := jwt.CreateValidationResults()
	r.Validate(vr)
	switch {
	case len(vr.Issues) > 0:
		return fmt.Errorf("the authorization service's answer: %w", vr.Issues[0])
	case r.Subject != user:
		return errors.New("the authorization service's answer is for another user")
	case r.Audience != d.broker.ID:
		return errors.New("the authorization service's answer is for another broker")
	case s.operator && r.IssuerAccount != "" && r.IssuerAccount != s.account.Key:
		return errors.New("the authorization service's answer names another account as its issuer")
	case !encrypted && !s.signs(r.Issuer):
		return errors.New("the authorization service's answer is signed with an unknown key: " + r.Issuer)
	case r.Error != "":
		return errors.New("the authorization service refuses: " + r.Error)
	}
	return nil
}

// admit makes an identity from the user that a service has issued.
func (d *Delegate) admit(ctx context.Context, s *service, claims *jwt.UserClaims, c *Connect, user string, remote netip.Addr) (*account.Identity, error) {
	u, r := compile(claims)
	if r != nil {
		return nil, r
	}
	now := time.Now()
	if r := u.checkTimes(now); r != nil {
		return nil, r
	}
	target, r := d.target(ctx, s, claims)
	if r != nil {
		return nil, r
	}
	id := &account.Identity{
		Account: target, User: user, Name: u.name, Tags: u.tags, Issuer: u.issuer, IssuedAt: u.issuedAt,
		Claimed: &u.claimed, Remote: remote, External: true, Shown: cmp.Or(u.name, c.named()),
	}
	if s.operator {
		fit, r := target.State().Fit(id, now)
		if r != nil {
			return nil, r
		}
		return fit, nil
	}
	return d.place(s, id, now)
}

// place makes the identity of a user in an account without an operator: its
// claims are not kept, for there are no keys by which they could be judged again.
func (d *Delegate) place(s *service, id *account.Identity, now time.Time) (*account.Identity, error) {
	rules, until, r := id.Claimed.Place(id.Remote, now)
	if r != nil {
		return nil, r
	}
	id.Issuer, id.IssuedAt, id.User = "", 0, cmp.Or(id.Shown, id.User)
	id.Permissions, id.Limits, id.Expires, id.Quotas = id.Claimed.Permissions, rules, until, id.Claimed.Quotas
	if id.Permissions == nil {
		id.Permissions = id.Account.State().Default
	}
	if id.Account == s.account {
		id.Permissions = id.Permissions.DenyPublish(account.CalloutSubject)
	}
	id.Claimed = nil
	return id, nil
}

// target returns the account that a service puts a user into.
func (d *Delegate) target(ctx context.Context, s *service, claims *jwt.UserClaims) (*account.Account, *account.Refusal) {
	if !s.operator {
		a := d.accounts.Loaded(claims.Audience)
		switch {
		case claims.IssuerAccount != "":
			return nil, account.Violation("the authorization service's user names an issuer account, which is for operators")
		case !s.signs(claims.Issuer):
			return nil, account.Violation("the authorization service's user is signed with an unknown key: " + claims.Issuer)
		case a == nil:
			return nil, account.Violation(fmt.Sprintf("the authorization service puts the user into account %q, which does not exist", claims.Audience))
		}
		return a, nil
	}
	key := accountOf(claims)
	if key != s.account.Key && !s.allows(key) {
		return nil, account.Violation("the authorization service may not issue users of account " + key)
	}
	a, err := d.accounts.Get(ctx, key)
	if err != nil {
		var r *account.Refusal
		if errors.As(lookupRefusal(key, err), &r) {
			return nil, r
		}
	}
	return a, nil
}

// deny keeps those who are in the account of a service from asking it themselves.
func (c *Callout) deny(id *account.Identity) {
	if c != nil && id.Account != nil && id.Account.Key == c.Account {
		id.Permissions = id.Permissions.DenyPublish(account.CalloutSubject)
	}
}

// Same reports whether two callouts are the same; either may be nil.
func (c *Callout) Same(o *Callout) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.Issuer == o.Issuer && c.Account == o.Account && c.XKey == o.XKey && slices.Equal(c.Users, o.Users) &&
		slices.Equal(c.Allowed, o.Allowed)
}
