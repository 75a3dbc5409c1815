package controlplane_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// issuer is an identity provider: discovery, keys, and tokens.
type issuer struct {
	*httptest.Server
	key *rsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key}
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

// token signs claims on top of what every good token says.
func (i *issuer) token(t *testing.T, key any, alg jose.SignatureAlgorithm, claims map[string]any) string {
	t.Helper()
	all := map[string]any{
		"iss": i.URL, "aud": "covey", "sub": "repo:acme/shop:ref:refs/heads/main", "repository": "acme/shop",
		"iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
	}
	maps.Copy(all, claims)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func TestATokenIsExchangedForAShortCredential(t *testing.T) {
	idp := newIssuer(t)
	p := start(t, t.TempDir(), func(c *controlplane.Config) { c.IssuerClient = idp.Client() })
	_, owner := p.signUp(t, "acme")
	ctx, nobody := t.Context(), p.as(t, "")
	policy := &apiv1.FederationPolicy{Issuer: idp.URL, Audience: "covey", Claims: map[string]string{"repository": "acme/shop"}, User: acmeUser, MaxTtlSeconds: 300}
	create := func(id string, f *apiv1.FederationPolicy) error {
		_, err := owner.federation.CreateFederationPolicy(ctx, &apiv1.CreateFederationPolicyRequest{Parent: acmeAccount, FederationPolicyId: id, FederationPolicy: f})
		return err
	}
	if err := create("ci", policy); err != nil {
		t.Fatal(err)
	}
	wantError(t, create("ci", policy), errs.Exists, "FEDERATION_POLICY_EXISTS")
	wantError(t, create("plain", &apiv1.FederationPolicy{Issuer: "http://idp.example", Audience: "a", Claims: policy.GetClaims(), User: acmeUser}), errs.Invalid, "INVALID_ISSUER")
	wantError(t, create("anybody", &apiv1.FederationPolicy{Issuer: idp.URL, Audience: "a", User: acmeUser}), errs.Invalid, "INVALID_FIELD")
	wantError(t, create("nobody", &apiv1.FederationPolicy{Issuer: idp.URL, Audience: "a", Claims: policy.GetClaims(), User: acmeAccount + "/users/none"}), errs.Precondition, "USER_NOT_FOUND")

	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	const name = acmeAccount + "/federationPolicies/ci"
	exchange := func(policy, token string) (*apiv1.ExchangeTokenResponse, error) {
		return nobody.federation.ExchangeToken(ctx, &apiv1.ExchangeTokenRequest{Name: policy, Token: token, PublicKey: public})
	}
	good := idp.token(t, idp.key, jose.RS256, nil)
	got := must[*apiv1.ExchangeTokenResponse](t, "exchange")(exchange(name, good))
	if life := time.Until(got.GetCredential().GetExpireTime().AsTime()); life > 5*time.Minute || life < 4*time.Minute {
		t.Errorf("the credential lives %v", life)
	}
	if !strings.Contains(got.GetCredential().GetRequester(), "repo:acme/shop") {
		t.Errorf("the requester is %q", got.GetCredential().GetRequester())
	}
	text, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := accounts.ParseSeed(text)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := accounts.FormatCreds(got.GetJwt(), seed)
	if err != nil {
		t.Fatal(err)
	}
	p.judges(t, func(t *testing.T, j judge) { j.mustConnect(t, creds).wantAlive(t, "exchanged,") })

	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour).Unix()
	for what, try := range map[string]struct{ policy, token string }{
		"another audience":    {name, idp.token(t, idp.key, jose.RS256, map[string]any{"aud": "other"})},
		"another repository":  {name, idp.token(t, idp.key, jose.RS256, map[string]any{"repository": "eve/shop"})},
		"a claim of a number": {name, idp.token(t, idp.key, jose.RS256, map[string]any{"repository": 7})},
		"expired":             {name, idp.token(t, idp.key, jose.RS256, map[string]any{"exp": past})},
		"another issuer":      {name, idp.token(t, idp.key, jose.RS256, map[string]any{"iss": "https://idp.example"})},
		"another key":         {name, idp.token(t, stranger, jose.RS256, nil)},
		"a symmetric key":     {name, idp.token(t, []byte(strings.Repeat("k", 32)), jose.HS256, nil)},
		"no token":            {name, "hello"},
		"an API key":          {name, p.key},
		"no such policy":      {acmeAccount + "/federationPolicies/none", good},
		"no such account":     {acme + "/accounts/none/federationPolicies/ci", good},
		"no organization":     {"organizations/none/accounts/default/federationPolicies/ci", good},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := exchange(try.policy, try.token)
			wantError(t, err, errs.Unauthenticated, "TOKEN_REFUSED")
		})
	}
	_, err = nobody.federation.ExchangeToken(ctx, &apiv1.ExchangeTokenRequest{Name: name, Token: good, PublicKey: public, TtlSeconds: 301})
	wantError(t, err, errs.Invalid, "INVALID_TTL")
	must[*apiv1.SuspendUserResponse](t, "suspend")(owner.users.SuspendUser(ctx, &apiv1.SuspendUserRequest{Name: acmeUser}))
	_, err = exchange(name, good)
	wantError(t, err, errs.Precondition, "USER_SUSPENDED")
	must[*apiv1.DeleteFederationPolicyResponse](t, "delete")(owner.federation.DeleteFederationPolicy(ctx, &apiv1.DeleteFederationPolicyRequest{Name: name}))
	_, err = exchange(name, good)
	wantError(t, err, errs.Unauthenticated, "TOKEN_REFUSED")
	if strings.Contains(p.log.String(), good[len(good)-40:]) {
		t.Error("the log shows a token")
	}
}

// Without a client of the operator's, issuers on this machine are not reached:
// tenants name them.
func TestIssuersInsideAreNotReached(t *testing.T) {
	idp := newIssuer(t)
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	must[*apiv1.CreateFederationPolicyResponse](t, "create")(owner.federation.CreateFederationPolicy(t.Context(), &apiv1.CreateFederationPolicyRequest{
		Parent: acmeAccount, FederationPolicyId: "ci",
		FederationPolicy: &apiv1.FederationPolicy{Issuer: idp.URL, Audience: "covey", Claims: map[string]string{"sub": "x"}, User: acmeUser},
	}))
	_, err := p.as(t, "").federation.ExchangeToken(t.Context(), &apiv1.ExchangeTokenRequest{
		Name: acmeAccount + "/federationPolicies/ci", Token: "x", PublicKey: "U" + strings.Repeat("A", 55),
	})
	wantError(t, err, errs.Unavailable, "ISSUER_UNAVAILABLE")
	if !strings.Contains(p.log.String(), "is not a public address") {
		t.Error("it was something else that kept the control plane away")
	}
}
