package system_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// decider is an authorization service.
type decider struct {
	t      *testing.T
	signer nkeys.KeyPair
	curve  nkeys.KeyPair // nil to encrypt nothing
	issuer string        // public key of signer
	xkey   string        // public key of curve

	mu   sync.Mutex
	seen []*jwt.AuthorizationRequestClaims // guarded by mu
}

func newDecider(t *testing.T, encrypted bool) *decider {
	t.Helper()
	d := &decider{t: t}
	var err error
	d.signer, err = nkeys.CreateAccount()
	must(t, err)
	d.issuer, err = d.signer.PublicKey()
	must(t, err)
	if encrypted {
		d.curve, err = nkeys.CreateCurveKeys()
		must(t, err)
		d.xkey, err = d.curve.PublicKey()
		must(t, err)
	}
	return d
}

// verdict makes the answer to a request: claims of a user, which it may change,
// and what else the answer says.
type verdict func(r *jwt.AuthorizationRequestClaims, u *jwt.UserClaims, a *jwt.AuthorizationResponseClaims) (by nkeys.KeyPair)

// serve decides in the account of a connection.
func (d *decider) serve(nc *nats.Conn, decide verdict) {
	d.t.Helper()
	_, err := nc.Subscribe("$SYS.REQ.USER.AUTH", func(m *nats.Msg) {
		body := m.Data
		key := m.Header.Get("Nats-Server-Xkey")
		var err error
		if key != "" {
			if body, err = d.curve.Open(body, key); err != nil {
				d.t.Errorf("a request cannot be decrypted: %v", err)
			}
		}
		r, err := jwt.DecodeAuthorizationRequestClaims(string(body))
		if err != nil {
			d.t.Errorf("a request cannot be read: %v", err)
			return
		}
		vr := jwt.CreateValidationResults()
		r.Validate(vr)
		for _, issue := range vr.Issues {
			if !issue.TimeCheck { // it holds for a second, and this may be a slow machine
				d.t.Errorf("a request is not valid: %v", issue)
			}
		}
		d.mu.Lock()
		d.seen = append(d.seen, r)
		d.mu.Unlock()
		if b := d.answer(r, decide); b != nil {
			if key != "" {
				if b, err = d.curve.Seal(b, key); err != nil {
					d.t.Error(err)
				}
			}
			_ = m.Respond(b)
		}
	})
	must(d.t, err)
	must(d.t, nc.Flush())
}

func (d *decider) answer(r *jwt.AuthorizationRequestClaims, decide verdict) []byte {
	u := jwt.NewUserClaims(r.UserNkey)
	a := jwt.NewAuthorizationResponseClaims(r.UserNkey)
	a.Audience = r.Server.ID
	by := decide(r, u, a)
	if by == nil {
		return nil
	}
	if a.Error == "" && a.Jwt == "" {
		token, err := u.Encode(by)
		if err != nil {
			d.t.Error(err)
		}
		a.Jwt = token
	}
	token, err := a.Encode(by)
	if err != nil {
		d.t.Error(err)
	}
	return []byte(token)
}

// conf is a configuration with the service in AUTH.
func (d *decider) conf(more string) string {
	if d.xkey != "" {
		more += "\nxkey: " + d.xkey
	}
	return fmt.Sprintf(`
server_name: one
accounts {
	AUTH { users: [{user: auth, password: auth}] }
	APP { users: [{user: app, password: app}] }
	KEPT { users: [{user: kept, password: kept}] }
	SYS { users: [{user: sys, password: sys}] }
}
system_account: SYS
authorization {
	timeout: 1
	auth_callout { issuer: %s, account: AUTH, auth_users: [auth, sys], %s }
}
`, d.issuer, more)
}

// decide is a service with some users: what their names are for.
func (d *decider) decide(r *jwt.AuthorizationRequestClaims, u *jwt.UserClaims, a *jwt.AuthorizationResponseClaims) nkeys.KeyPair {
	other, err := nkeys.CreateAccount()
	must(d.t, err)
	u.Name, u.Audience = r.ConnectOptions.Username, "APP"
	switch r.ConnectOptions.Username {
	case "good", "app":
	case "narrow":
		u.Permissions.Pub.Allow.Add("narrow.>")
		u.Permissions.Sub.Allow.Add("_INBOX.>")
	case "inside":
		u.Audience = "AUTH"
	case "elsewhere":
		u.Audience = "NOWHERE"
	case "denied":
		a.Error = "no such person"
	case "stranger":
		return other
	case "another":
		u.Subject = operatortest.New(d.t).Account("a").User("x", nil).Key
	case "otherAnswer":
		a.Subject = operatortest.New(d.t).Account("a").User("x", nil).Key
	case "otherServer":
		a.Audience = "N"
	case "issuerAccount":
		u.IssuerAccount = operatortest.New(d.t).Account("a").Key
	case "expired":
		u.Expires = 1
	case "far":
		u.Src.Add("10.0.0.0/8")
	case "garbage":
		a.Jwt = "garbage"
	case "silent":
		return nil
	default:
		a.Error = "unknown"
	}
	return d.signer
}

// A configured service decides as beside nats-server.
func TestCalloutLikeNatsServers(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		d := newDecider(t, encrypted)
		text := d.conf(`allowed_accounts: [AUTH, APP]`)
		for _, s := range []*subject{stock(t, text), ours(t, text)} {
			d.seen = nil
			// Nobody is there to ask yet.
			if _, err := natsConnect(s.url, nats.UserInfo("good", "x")); err == nil {
				t.Errorf("%s admits who nobody has decided about", s.name)
			}
			d.serve(s.as(t, "auth"), d.decide)
			for user, want := range map[string]bool{
				"good": true, "app": true, "narrow": true, "inside": true, "sys": true, "kept": true, "auth": true,
				"elsewhere": false, "denied": false, "stranger": false, "another": false, "otherAnswer": false, "otherServer": false,
				"issuerAccount": false, "expired": false, "far": false, "garbage": false, "silent": false, "nobody": false, "": false,
			} {
				if user == "far" && s.name != "ours" {
					continue // nats-server does not look at where such a user may connect from
				}
				nc, err := natsConnect(s.url, nats.UserInfo(user, user), nats.Name("mine"))
				if (err == nil) != want {
					t.Errorf("%s, encrypted=%v: %q: %v", s.name, encrypted, user, err)
				}
				if err != nil {
					if user != "silent" && !errors.Is(err, nats.ErrAuthorization) && user != "expired" {
						t.Errorf("%s: %q is told %v", s.name, user, err)
					}
					continue
				}
				nc.Close()
			}
			if _, err := natsConnect(s.url, nats.UserInfo("auth", "wrong")); !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("%s: the service's own user with a wrong password: %v", s.name, err)
			}
			d.check(s)
		}
	}
}

// check sees what the service was asked.
func (d *decider) check(s *subject) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := make(map[string]bool)
	for _, r := range d.seen {
		asked[r.ConnectOptions.Username] = true
		if r.Audience != "nats-authorization-request" || r.Subject != d.issuer || r.Issuer != s.id || r.Server.ID != s.id ||
			r.Server.Name != "one" || r.Server.Version != "2.15.2" || r.Expires == 0 || (r.Server.XKey != "") != (d.xkey != "") {
			d.t.Errorf("%s asks %+v", s.name, r)
		}
		c, o := r.ClientInformation, r.ConnectOptions
		if c.Host != "127.0.0.1" || c.ID == 0 || c.User != o.Username || c.Name != o.Name || c.Kind != "Client" || c.Type != "nats" || o.Password != o.Username || o.Lang != "go" || o.Version == "" || o.Protocol != 1 {
			d.t.Errorf("%s asks about %+v, %+v", s.name, c, o)
		}
	}
	for user, want := range map[string]bool{"good": true, "app": true, "": true, "sys": false, "auth": false, "kept": false} {
		if asked[user] != want {
			d.t.Errorf("%s asks about %q: %v", s.name, user, asked[user])
		}
	}
}

// Whoever a service admits is in the account and has the permissions that it
// says, and cannot ask it.
func TestWhoAServiceAdmits(t *testing.T) {
	d := newDecider(t, true)
	for _, s := range []*subject{stock(t, d.conf("")), ours(t, d.conf(""))} {
		auth := s.as(t, "auth")
		d.serve(auth, d.decide)
		info := func(user string) (nc *nats.Conn, u server.UserInfo, faults chan error) {
			faults = make(chan error, 8)
			nc = s.as(t, user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { faults <- err }))
			var a struct{ Data server.UserInfo }
			if user != "narrow" {
				must(t, json.Unmarshal([]byte(ask(t, nc, "$SYS.REQ.USER.INFO", "")), &a))
			}
			return nc, a.Data, faults
		}
		if _, u, _ := info("good"); u.UserID != "good" || u.Account != "APP" {
			t.Errorf("%s: %+v", s.name, u)
		}
		narrow, _, faults := info("narrow")
		must(t, narrow.Publish("narrow.x", nil))
		must(t, narrow.Publish("wide", nil))
		if err := <-faults; !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), "wide") {
			t.Errorf("%s: %v", s.name, err)
		}
		inside, u, faults := info("inside")
		if u.Account != "AUTH" {
			t.Errorf("%s: %+v", s.name, u)
		}
		must(t, inside.Publish("$SYS.REQ.USER.AUTH", []byte("x")))
		if err := <-faults; !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: %v", s.name, err)
		}
		refused, err := auth.SubscribeSync("$SYS.ACCOUNT.CLIENT.AUTH.ERR")
		must(t, err)
		must(t, auth.Flush())
		if _, err := natsConnect(s.url, nats.UserInfo("denied", "denied")); err == nil {
			t.Error("admitted")
		}
		m, err := refused.NextMsg(patience)
		must(t, err)
		var e server.DisconnectEventMsg
		must(t, json.Unmarshal(m.Data, &e))
		if !strings.Contains(e.Reason, "no such person") || e.Client.User != "denied" || e.Client.Account != "AUTH" {
			t.Errorf("%s tells the service's account %s", s.name, m.Data)
		}
	}
}

// Who is not decided about may try again, and is told so; the reason that a
// service gives is in the log of its account, not in the client's ears.
func TestUndecidedClientsAreToldSo(t *testing.T) {
	d := newDecider(t, false)
	s := ours(t, d.conf(""))
	for _, user := range []string{"nobodyListens", "silent"} {
		if _, err := natsConnect(s.url, nats.UserInfo(user, user)); err == nil || !strings.Contains(err.Error(), "Authentication Timeout") {
			t.Errorf("%s: %v", user, err)
		}
		if user != "silent" {
			d.serve(s.as(t, "auth"), d.decide)
		}
	}
	if _, err := natsConnect(s.url, nats.UserInfo("expired", "x")); err == nil || !strings.Contains(err.Error(), "Expired") {
		t.Errorf("expired: %v", err)
	}
}

// With an operator, the claims of an account name its service.
func TestCalloutWithAnOperator(t *testing.T) {
	r := newRealm(t)
	d := newDecider(t, true)
	home, target, closed := r.Account("home"), r.Account("target"), r.Account("closed")
	service := home.User("service", nil)
	sentinel := home.User("sentinel", func(c *jwt.UserClaims) { c.Permissions.Pub.Deny.Add(">"); c.Tags.Add("door:front", "x") })
	home.Claims.Authorization.AuthUsers.Add(service.Key)
	home.Claims.Authorization.AllowedAccounts.Add(target.Key)
	home.Claims.Authorization.XKey = d.xkey
	decide := func(q *jwt.AuthorizationRequestClaims, u *jwt.UserClaims, a *jwt.AuthorizationResponseClaims) nkeys.KeyPair {
		u.Name = q.ConnectOptions.Token
		switch u.Name {
		case "home":
			return home.KeyPair()
		case "target":
			a.Jwt = target.Issue(u)
			return home.KeyPair()
		case "closed":
			a.Jwt = closed.Issue(u)
			return home.KeyPair()
		case "stranger":
			return d.signer
		}
		a.Error = "no"
		return home.KeyPair()
	}
	var asked, admitted [2]string
	for i, start := range []func(*testing.T, string) *subject{stock, func(t *testing.T, text string) *subject { return ours(t, text) }} {
		d.seen = nil
		conf := r.conf("full", filepath.Join(t.TempDir(), fmt.Sprint(i)), "")
		s := start(t, conf)
		admin := s.admin(t, r)
		for _, a := range []*operatortest.Account{home, target, closed} {
			if got := ask(t, admin, "$SYS.REQ.CLAIMS.UPDATE", a.Token()); !strings.Contains(got, "jwt updated") {
				t.Fatal(got)
			}
		}
		auth, err := s.by(service)
		must(t, err)
		t.Cleanup(auth.Close)
		d.serve(auth, decide)
		for token, want := range map[string]string{"home": home.Key, "target": target.Key, "closed": "", "stranger": "", "other": ""} {
			nc, err := s.by(sentinel, nats.Token(token))
			if (err == nil) != (want != "") {
				t.Errorf("%s: %s: %v", s.name, token, err)
			}
			if err != nil {
				continue
			}
			var a struct{ Data server.UserInfo }
			info := ask(t, nc, "$SYS.REQ.USER.INFO", "")
			must(t, json.Unmarshal([]byte(info), &a))
			if token == "home" {
				admitted[i] = info
			}
			if a.Data.UserID != token || a.Data.Account != want {
				t.Errorf("%s: %s is %s in %s", s.name, token, a.Data.UserID, a.Data.Account)
			}
			nc.Close()
		}
		asked[i] = d.askedAbout("home")
	}
	same(t, "what is asked", asked[0], asked[1])
	// The name is of who was admitted, not of whose JWT was shown.
	same(t, "who is admitted", strings.ReplaceAll(admitted[0], "sentinel", "home"), admitted[1])
}

// askedAbout returns what the service was asked about who shows a token, but for what
// each server and each connection has of its own.
func (d *decider) askedAbout(token string) string {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.seen {
		if r.ConnectOptions.Token != token {
			continue
		}
		if r.ClientInformation.Nonce == "" || r.ConnectOptions.SignedNonce == "" {
			d.t.Error("the nonce is not told")
		}
		r.ClientInformation.Nonce, r.ConnectOptions.SignedNonce, r.UserNkey = "", "", ""
		text, err := json.Marshal(r.AuthorizationRequest)
		must(d.t, err)
		return string(text)
	}
	return "nothing"
}
