package auth_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

const nonce = "c29tZSBub25jZQ"

var local = netip.MustParseAddr("127.0.0.1") //nolint:gochecknoglobals // constant

// world is an operator, one account and an authenticator.
type world struct {
	*operatortest.Operator
	acct   *operatortest.Account
	source *operatortest.Source
	auth   *auth.Operator
}

func newWorld(t *testing.T, change func(*operatortest.Account)) *world {
	t.Helper()
	w := &world{Operator: operatortest.New(t)}
	w.acct = w.Account("acme")
	if change != nil {
		change(w.acct)
	}
	w.source = operatortest.NewSource(w.acct)
	r := account.NewRegistry(w.Key, w.source, func(string) (account.Usage, error) { return account.NoUsage{}, nil }, slog.New(slog.DiscardHandler))
	if err := r.SetOperator(w.JWT); err != nil {
		t.Fatal(err)
	}
	w.auth = auth.NewOperator(r)
	return w
}

func (w *world) try(t *testing.T, u *operatortest.User) (*account.Identity, error) {
	t.Helper()
	return w.auth.Authenticate(t.Context(), &auth.Connect{JWT: u.Token, Sig: u.Sign(nonce)}, nonce, local)
}

// refused checks that err is a refusal with these words for the client and in
// the log, and that it tells the client no more than it should.
func refused(t *testing.T, what string, err error, text, log string) {
	t.Helper()
	var r *account.Refusal
	if !errors.As(err, &r) {
		t.Errorf("%s: error = %v, want a refusal", what, err)
		return
	}
	if r.Text != text || !strings.Contains(r.Log, log) {
		t.Errorf("%s: refused with %q, logged %q; want %q, %q", what, r.Text, r.Log, text, log)
	}
}

const violation = "Authorization Violation"

func TestIdentity(t *testing.T) {
	w := newWorld(t, func(a *operatortest.Account) { a.Claims.DefaultPermissions.Pub.Allow.Add("default") })
	u := w.acct.User("ann", func(c *jwt.UserClaims) { c.Limits.Subs, c.Limits.Payload = 3, 4 })
	id, err := w.try(t, u)
	if err != nil {
		t.Fatal(err)
	}
	if id.Account.Key != w.acct.Key || id.User != u.Key || id.Name != "ann" || id.Issuer != w.acct.Key || id.Expires != 0 ||
		id.Limits.Subscriptions != 3 || id.Limits.Payload != 4 || id.State != id.Account.State() {
		t.Errorf("identity = %+v", id)
	}
	if !id.Permissions.Publish([]byte("default")) || id.Permissions.Publish([]byte("other")) {
		t.Error("the account's default permissions do not hold")
	}
	own := w.acct.User("bob", func(c *jwt.UserClaims) { c.Pub.Allow.Add("own") })
	if id, err = w.try(t, own); err != nil || !id.Permissions.Publish([]byte("own")) || id.Permissions.Publish([]byte("default")) {
		t.Errorf("the user's own permissions: %v", err)
	}
	if !w.auth.Required() {
		t.Error("nothing is required")
	}
	std := &auth.Connect{JWT: u.Token, Sig: base64.StdEncoding.EncodeToString(mustDecode(t, u.Sign(nonce)))}
	if _, err := w.auth.Authenticate(t.Context(), std, nonce, local); err != nil {
		t.Errorf("a padded signature: %v", err)
	}
}

func mustDecode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	return operatortest.Must(t, b, err)
}

func TestForgeries(t *testing.T) {
	w := newWorld(t, nil)
	other := operatortest.New(t)
	u, v := w.acct.User("ann", nil), w.acct.User("bob", nil)
	try := func(token, sig string) error {
		_, err := w.auth.Authenticate(t.Context(), &auth.Connect{JWT: token, Sig: sig}, nonce, local)
		return err
	}
	refused(t, "no JWT", try("", ""), violation, "no user JWT")
	refused(t, "noise", try("a.b.c", ""), violation, "malformed user JWT")
	refused(t, "an account's JWT", try(w.acct.Token(), u.Sign(nonce)), violation, "malformed user JWT")
	refused(t, "no signature", try(u.Token, ""), violation, "nonce was not signed")
	refused(t, "another user's signature", try(u.Token, v.Sign(nonce)), violation, "signed by another key")
	refused(t, "an old nonce's signature", try(u.Token, u.Sign("old")), violation, "signed by another key")
	refused(t, "no base64", try(u.Token, "%%%"), violation, "not base64")
	refused(t, "short signature", try(u.Token, "AAAA"), violation, "signed by another key")
	parts, others := strings.Split(u.Token, "."), strings.Split(v.Token, ".")
	refused(t, "a re-signed body", try(parts[0]+"."+parts[1]+"."+others[2], u.Sign(nonce)), violation, "malformed user JWT")
	refused(t, "another body", try(parts[0]+"."+others[1]+"."+parts[2], v.Sign(nonce)), violation, "malformed user JWT")

	stray := w.Account("stray")
	kp := stray.SigningKey()
	forged := w.acct.UserBy(kp, "mallory", nil) // claims to be of acme, signed by a stranger's key
	refused(t, "a stranger's key", try(forged.Token, forged.Sign(nonce)), violation, "does not list")
	unknown := stray.User("x", nil)
	refused(t, "unknown account", try(unknown.Token, unknown.Sign(nonce)), violation, "no such account")
	foreign := other.Account("acme")
	w.source.Put(foreign.Key, foreign.Token())
	fu := foreign.User("x", nil)
	refused(t, "another operator's account", try(fu.Token, fu.Sign(nonce)), violation, "claims refused")
	w.source.Put(stray.Key, stray.TokenBySelf())
	refused(t, "an account that signed itself", try(unknown.Token, unknown.Sign(nonce)), violation, "claims refused")
}

func TestLookupUnavailableIsNoViolation(t *testing.T) {
	w := newWorld(t, nil)
	w.source.Before = func(string) error { return fmt.Errorf("%w: control plane away", account.ErrUnavailable) }
	_, err := w.try(t, w.acct.User("ann", nil))
	refused(t, "no control plane", err, "Authentication Timeout", "control plane away")
}

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		start := time.Now()
		short := w.acct.User("ann", func(c *jwt.UserClaims) { c.Expires = start.Add(time.Hour).Unix() })
		later := w.acct.User("bob", func(c *jwt.UserClaims) { c.NotBefore = start.Add(30 * time.Minute).Unix() })
		day := w.acct.User("day", func(c *jwt.UserClaims) {
			c.Times = []jwt.TimeRange{{Start: "00:10:00", End: "00:20:00"}, {Start: "23:00:00", End: "00:05:00"}}
			c.Locale = "UTC"
		})
		if id, err := w.try(t, short); err != nil || id.Expires != start.Add(time.Hour).Unix() {
			t.Errorf("before it expires: %v", err)
		}
		_, err := w.try(t, later)
		refused(t, "too early", err, violation, "not valid before")
		// The bubble's clock begins at midnight UTC.
		if id, err := w.try(t, day); err != nil || id.Expires != start.Add(5*time.Minute).Unix() {
			t.Errorf("in a window over midnight: %v", err)
		}
		<-time.After(6 * time.Minute)
		_, err = w.try(t, day)
		refused(t, "between windows", err, violation, "this time of day")
		<-time.After(5 * time.Minute)
		if id, err := w.try(t, day); err != nil || id.Expires != start.Add(20*time.Minute).Unix() {
			t.Errorf("in the second window: %v", err)
		}
		<-time.After(49 * time.Minute)
		_, err = w.try(t, short)
		refused(t, "expired", err, "User Authentication Expired", "expired at")
		if _, err = w.try(t, later); err != nil {
			t.Errorf("when its time has come: %v", err)
		}
	})
}

func TestWhereAndHow(t *testing.T) {
	w := newWorld(t, nil)
	inside := w.acct.User("ann", func(c *jwt.UserClaims) { c.Src.Add("10.0.0.0/8", "2001:db8::/32") })
	from := func(u *operatortest.User, addr string) error {
		var a netip.Addr
		if addr != "" {
			a = netip.MustParseAddr(addr)
		}
		_, err := w.auth.Authenticate(t.Context(), &auth.Connect{JWT: u.Token, Sig: u.Sign(nonce)}, nonce, a)
		return err
	}
	for _, addr := range []string{"10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"} {
		if err := from(inside, addr); err != nil {
			t.Errorf("from %s: %v", addr, err)
		}
	}
	for _, addr := range []string{"11.1.2.3", "2001:db9::1", ""} {
		refused(t, "from "+addr, from(inside, addr), violation, "may not connect from")
	}
	ws := w.acct.User("ws", func(c *jwt.UserClaims) { c.AllowedConnectionTypes.Add(jwt.ConnectionTypeWebsocket) })
	refused(t, "a user for WebSocket", from(ws, "::1"), violation, "kind of connection")
	std := w.acct.User("std", func(c *jwt.UserClaims) { c.AllowedConnectionTypes.Add("standard") })
	if err := from(std, "::1"); err != nil {
		t.Errorf("a user for plain connections: %v", err)
	}
}

func TestBearer(t *testing.T) {
	for _, forbidden := range []bool{false, true} {
		w := newWorld(t, func(a *operatortest.Account) { a.Claims.Limits.DisallowBearer = forbidden })
		u := w.acct.User("b", func(c *jwt.UserClaims) { c.BearerToken = true })
		_, err := w.auth.Authenticate(t.Context(), &auth.Connect{JWT: u.Token}, nonce, local)
		if forbidden {
			refused(t, "a bearer where none may be", err, violation, "bearer")
		} else if err != nil {
			t.Errorf("a bearer: %v", err)
		}
	}
}

func TestImpossibleClaims(t *testing.T) {
	w := newWorld(t, nil)
	u := w.acct.User("ann", func(c *jwt.UserClaims) { c.Pub.Deny.Add("a b c") })
	_, err := w.try(t, u)
	refused(t, "a deny list that denies nothing", err, violation, "invalid user JWT")
}

func TestRoles(t *testing.T) {
	w := newWorld(t, nil)
	role := w.acct.Role("reader", jwt.Permissions{Pub: jwt.Permission{Allow: []string{"me.{{name()}}"}}})
	bad := w.acct.Role("bad", jwt.Permissions{Sub: jwt.Permission{Deny: []string{"{{tag(x)}}"}}})
	w.source.Put(w.acct.Key, w.acct.Token())
	id, err := w.try(t, w.acct.ScopedUser(role, "ann"))
	if err != nil {
		t.Fatal(err)
	}
	if !id.Permissions.Publish([]byte("me.ann")) || id.Permissions.Publish([]byte("me.bob")) {
		t.Error("the role's permissions do not hold")
	}
	own := w.acct.UserBy(role, "ann", func(c *jwt.UserClaims) { c.Pub.Allow.Add("more") })
	_, err = w.try(t, own)
	refused(t, "permissions beside a role", err, violation, "beside the role")
	_, err = w.try(t, w.acct.ScopedUser(bad, "ann"))
	refused(t, "a role that cannot be filled in", err, violation, "the user's role bad")
}

func TestOpen(t *testing.T) {
	a := account.New("$G", account.NoUsage{}, &account.State{})
	o := &auth.Open{Account: a}
	id, err := o.Authenticate(t.Context(), &auth.Connect{}, "", netip.Addr{})
	if err != nil || o.Required() || id.Account != a || id.Permissions != nil || id.Limits.Payload != account.NoLimit {
		t.Errorf("identity = %+v, %v", id, err)
	}
}

func TestNothingSecretIsKept(t *testing.T) {
	c := auth.Connect{Nkey: "n", JWT: "j", Sig: "s", Token: "t", Username: "u", Password: "p", Name: "kept"}
	if c.Forget(); c != (auth.Connect{Name: "kept"}) {
		t.Errorf("kept %+v", c)
	}
}
