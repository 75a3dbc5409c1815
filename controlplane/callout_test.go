package controlplane_test

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func pairOf(t *testing.T, prefix nkeys.PrefixByte) (nkeys.KeyPair, string) {
	t.Helper()
	pair, err := nkeys.CreatePair(prefix)
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pair, public
}

func (c *caller) setCallout(t *testing.T, to *apiv1.AuthCallout) (*apiv1.UpdateAccountResponse, error) {
	t.Helper()
	return c.accounts.UpdateAccount(t.Context(), &apiv1.UpdateAccountRequest{
		Account: &apiv1.Account{Name: acmeAccount, AuthCallout: to}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"auth_callout"}},
	})
}

// decides is a service that lets everybody in who comes, to subscribe to ok.>
// only, and counts whom it was asked about.
func decides(t *testing.T, c *client, account string, issuer, curve nkeys.KeyPair, asked *atomic.Int64) {
	t.Helper()
	sign := func(claims jwt.Claims) string {
		text, err := claims.Encode(issuer)
		if err != nil {
			t.Errorf("sign: %v", err)
		}
		return text
	}
	_, err := c.Subscribe("$SYS.REQ.USER.AUTH", func(m *nats.Msg) {
		server := m.Header.Get("Nats-Server-Xkey")
		if server == "" {
			t.Error("the request came in clear")
			return
		}
		text, err := curve.Open(m.Data, server)
		if err != nil {
			t.Errorf("open request: %v", err)
			return
		}
		req, err := jwt.DecodeAuthorizationRequestClaims(string(text))
		if err != nil {
			t.Errorf("read request: %v", err)
			return
		}
		asked.Add(1)
		user := jwt.NewUserClaims(req.UserNkey)
		user.IssuerAccount = account
		user.Sub.Allow.Add("ok.>")
		answer := jwt.NewAuthorizationResponseClaims(req.UserNkey)
		answer.Audience, answer.IssuerAccount, answer.Jwt = req.Server.ID, account, sign(user)
		sealed, err := curve.Seal([]byte(sign(answer)), server)
		if err == nil {
			err = m.Respond(sealed)
		}
		if err != nil {
			t.Errorf("answer: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.wantAlive(t, "the service")
}

// A service decides who connects, and what for, on a stock nats-server and on
// ours; without it credentials do again.
func TestAServiceDecidesWhoConnects(t *testing.T) {
	p := start(t, t.TempDir())
	signed, owner := p.signUp(t, "acme")
	service := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(t.Context(), &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: "service"}))
	held := owner.issue(t, service.GetUser().GetName())
	issuer, issuerKey := pairOf(t, nkeys.PrefixByteAccount)
	curve, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	xkey, _ := curve.PublicKey()
	want := &apiv1.AuthCallout{UserPublicKeys: []string{held.GetCredential().GetPublicKey()}, IssuerPublicKeys: []string{issuerKey}, Xkey: xkey}
	p.judges(t, func(t *testing.T, j judge) {
		on := must[*apiv1.UpdateAccountResponse](t, "set")(owner.setCallout(t, want))
		got := must[*apiv1.GetAccountResponse](t, "get")(owner.accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: acmeAccount})).GetAccount()
		if !proto.Equal(got.GetAuthCallout(), want) || on.GetOperation() == nil {
			t.Errorf("set %v, read %v", want, got.GetAuthCallout())
		}
		j.settle(t, owner, acmeAccount, on.GetOperation())
		var asked atomic.Int64
		decides(t, j.mustConnect(t, held.GetCredsFile()), signed.GetAccount().GetPublicKey(), issuer, curve, &asked)
		c := j.mustConnect(t, signed.GetCredsFile())
		if asked.Load() != 1 {
			t.Errorf("asked %d times", asked.Load())
		}
		if _, err := c.SubscribeSync("ok.x"); err != nil {
			t.Fatal(err)
		}
		if c.wantAlive(t, "allowed"); c.LastError() != nil {
			t.Errorf("what the service allows gives %v", c.LastError())
		}
		if _, err := c.SubscribeSync("other"); err != nil {
			t.Fatal(err)
		}
		if c.wantAlive(t, "denied"); c.LastError() == nil {
			t.Error("what the service does not allow is allowed")
		}
		off := must[*apiv1.UpdateAccountResponse](t, "clear")(owner.setCallout(t, nil))
		j.settle(t, owner, acmeAccount, off.GetOperation())
		before := asked.Load()
		j.mustConnect(t, signed.GetCredsFile())
		if asked.Load() != before {
			t.Error("the service is asked after it was taken off")
		}
		if slices.Contains(p.claims(t, signed.GetAccount().GetPublicKey()).SigningKeys.Keys(), issuerKey) {
			t.Error("the service's key still signs users")
		}
	})
}

// Only the organization's own users answer, and only for its own accounts.
func TestAuthCalloutRefuses(t *testing.T) {
	p := start(t, t.TempDir())
	signed, owner := p.signUp(t, "acme")
	globex, _ := p.signUp(t, "globex")
	user, account := signed.GetCredential().GetPublicKey(), signed.GetAccount().GetPublicKey()
	_, stranger := pairOf(t, nkeys.PrefixByteUser)
	for name, c := range map[string]struct {
		callout *apiv1.AuthCallout
		code    errs.Code
		reason  string
	}{
		"a stranger":        {&apiv1.AuthCallout{UserPublicKeys: []string{stranger}}, errs.Precondition, "AUTH_CALLOUT_USER"},
		"another's user":    {&apiv1.AuthCallout{UserPublicKeys: []string{globex.GetCredential().GetPublicKey()}}, errs.Precondition, "AUTH_CALLOUT_USER"},
		"another's account": {&apiv1.AuthCallout{UserPublicKeys: []string{user}, AllowedAccountPublicKeys: []string{globex.GetAccount().GetPublicKey()}}, errs.Precondition, "AUTH_CALLOUT_ACCOUNT"},
		"every account":     {&apiv1.AuthCallout{UserPublicKeys: []string{user}, AllowedAccountPublicKeys: []string{"*"}}, errs.Invalid, "INVALID_AUTH_CALLOUT"},
		"no key":            {&apiv1.AuthCallout{UserPublicKeys: []string{"UABC"}}, errs.Invalid, "INVALID_AUTH_CALLOUT"},
		"its own key":       {&apiv1.AuthCallout{UserPublicKeys: []string{user}, IssuerPublicKeys: []string{account}}, errs.Invalid, "INVALID_AUTH_CALLOUT"},
		"twice":             {&apiv1.AuthCallout{UserPublicKeys: []string{user, user}}, errs.Invalid, "INVALID_AUTH_CALLOUT"},
		"no curve key":      {&apiv1.AuthCallout{UserPublicKeys: []string{user}, Xkey: account}, errs.Invalid, "INVALID_AUTH_CALLOUT"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := owner.setCallout(t, c.callout)
			wantError(t, err, c.code, c.reason)
		})
	}
	if _, err := owner.accounts.CreateAccount(t.Context(), &apiv1.CreateAccountRequest{
		Parent: acme, AccountId: "new", Account: &apiv1.Account{AuthCallout: &apiv1.AuthCallout{UserPublicKeys: []string{user}}},
	}); err == nil {
		t.Error("a new account has a service before it has users")
	}
}
