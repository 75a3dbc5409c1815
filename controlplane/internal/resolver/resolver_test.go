package resolver_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/resolver"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

type claims map[string]string

func (c claims) Claims(_ context.Context, public string) (string, int64, error) {
	if c == nil {
		return "", 0, errs.New(errs.Unavailable, "STORE_UNAVAILABLE", "down")
	}
	if text, ok := c[public]; ok {
		return text, 1, nil
	}
	return "", 0, store.ErrNotFound
}

type pair struct {
	public string
	signer accounts.Signer
	seed   accounts.Seed
}

func key(t *testing.T, create func() (accounts.Seed, error)) pair {
	t.Helper()
	seed, err := create()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := seed.Signer()
	if err != nil {
		t.Fatal(err)
	}
	return pair{public: signer.PublicKey(), signer: signer, seed: seed}
}

// A stock nats-server that resolves accounts over HTTP takes our tenants.
func TestStockServerResolves(t *testing.T) {
	root, signing := key(t, accounts.NewOperatorKey), key(t, accounts.NewOperatorKey)
	account, role, user := key(t, accounts.NewAccountKey), key(t, accounts.NewAccountKey), key(t, accounts.NewUserKey)
	text, err := accounts.SignAccount(accounts.AccountSpec{
		PublicKey: account.public, Name: "acme/orders", Roles: []accounts.Role{{Name: accounts.DefaultRole, Keys: []string{role.public}}},
	}, signing.signer)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(resolver.Handler(claims{account.public: text}, slog.New(slog.DiscardHandler)))
	defer web.Close()
	operatorText, err := accounts.SignOperator(accounts.OperatorSpec{Name: "covey", SigningKeys: []string{signing.public}}, root.signer)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := jwt.DecodeOperatorClaims(operatorText)
	if err != nil {
		t.Fatal(err)
	}
	urls, err := server.NewURLAccResolver(web.URL + resolver.Path)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, TrustedOperators: []*jwt.OperatorClaims{operator}, AccountResolver: urls,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer func() { srv.Shutdown(); srv.WaitForShutdown() }()
	if !srv.ReadyForConnections(time.Minute) {
		t.Fatal("stock nats-server does not start")
	}
	token, err := accounts.SignUser(accounts.UserSpec{PublicKey: user.public, Name: "u", AccountKey: account.public}, role.signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := nats.Connect(srv.ClientURL(), nats.Timeout(time.Minute), nats.UserJWT(func() (string, error) { return token.JWT, nil }, user.signer.Sign))
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	c.Close()
}

func TestAbsentIsNotUnavailable(t *testing.T) {
	account := key(t, accounts.NewAccountKey).public
	for name, c := range map[string]struct {
		claims claims
		path   string
		want   int
	}{
		"absent":      {claims{}, account, http.StatusNotFound},
		"unavailable": {nil, account, http.StatusServiceUnavailable},
		"no key":      {claims{}, "SUNOTAKEY", http.StatusBadRequest},
		"ping":        {nil, "", http.StatusOK},
	} {
		w := httptest.NewRecorder()
		resolver.Handler(c.claims, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, resolver.Path+c.path, nil))
		if w.Code != c.want {
			t.Errorf("%s answers %d, want %d", name, w.Code, c.want)
		}
	}
}
