package dataplane_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane"
)

// operatorToken returns an operator's JWT, with signing keys if it has some.
func operatorToken(t *testing.T, root nkeys.KeyPair, system string, strict bool, signing ...string) string {
	t.Helper()
	pub, err := root.PublicKey()
	must(t, err)
	claims := jwt.NewOperatorClaims(pub)
	claims.SystemAccount, claims.StrictSigningKeyUsage = system, strict
	claims.SigningKeys.Add(signing...)
	token, err := claims.Encode(root)
	must(t, err)
	return token
}

// A directory that a stock server filled works, and what changes in it is in
// force after a reload.
func TestAccountsFromADirectory(t *testing.T) {
	operator, _ := keyOf(t, nkeys.CreateOperator)
	system, systemToken, _ := signedAccount(t, operator, nil)
	a, aToken, asA := signedAccount(t, operator, nil)
	b, bToken, asB := signedAccount(t, operator, nil)
	dir := filepath.Join(t.TempDir(), "jwt")
	stock, err := server.NewDirAccResolver(dir, 0, 0, server.NoDelete)
	must(t, err)
	must(t, stock.Store(a, aToken))
	stock.Close()
	conf := fmt.Sprintf("operator: %s\nresolver { type: full, dir: %q, limit: 3 }\nresolver_preload { %s: %s }\n",
		operatorToken(t, operator, system, false), dir, system, systemToken)
	p := launch(t, conf)
	must(t, p.try(asA))
	if err := p.try(asB); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("an account that is not there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, system+".jwt")); err != nil {
		t.Errorf("the preloaded account: %v", err)
	}
	closed := make(chan struct{})
	nc, err := natsConnect(p.url, asA, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	must(t, err)
	defer nc.Close()
	must(t, os.WriteFile(filepath.Join(dir, b+".jwt"), []byte(bToken), 0o600))
	must(t, os.Remove(filepath.Join(dir, a+".jwt")))
	p.reload(t, conf, "Reloaded server configuration")
	<-closed
	must(t, p.try(asB))
	if err := p.try(asA); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("an account that was removed: %v", err)
	}
	p.reload(t, conf+"resolver_pinned_accounts: ["+a+"]\n", "Reloaded server configuration")
	if err := p.try(asB); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("an account that is not pinned: %v", err)
	}
	p.reload(t, strings.Replace(conf, "limit: 3", "limit: 2", 1), "not supported for resolver; restart")
}

func TestAccountsFromAWebServer(t *testing.T) {
	operator, _ := keyOf(t, nkeys.CreateOperator)
	system, _, _ := signedAccount(t, operator, nil)
	a, aToken, asA := signedAccount(t, operator, nil)
	_, _, asB := signedAccount(t, operator, nil)
	var away atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case away.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/jwt/v1/accounts/":
		case r.URL.Path == "/jwt/v1/accounts/"+a:
			_, _ = w.Write([]byte(aToken + "\n")) // the broker is the judge of what arrived
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer web.Close()
	conf := fmt.Sprintf("operator: %s\nresolver: URL(%s/jwt/v1/accounts)\n", operatorToken(t, operator, system, false), web.URL)
	p := launch(t, conf)
	if err := p.try(asB); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("an account that the server does not know: %v", err)
	}
	away.Store(true)
	if err := p.try(asA); err == nil || errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("while it cannot be known: %v", err)
	}
	away.Store(false)
	must(t, p.try(asA))
	away.Store(true)
	must(t, p.try(asA)) // it is loaded

	var out output
	file := filepath.Join(t.TempDir(), "b.conf")
	must(t, os.WriteFile(file, []byte(conf), 0o600))
	if code := dataplane.Command(t.Context(), []string{"-c", file, "-p", "-1"}, "v-test", &out, &out); code == 0 || !strings.Contains(out.String(), "account resolver: ") {
		t.Errorf("nobody at home at start: exit code %d, %s", code, out.String())
	}
}

// Operators and their keys change without a restart.
func TestOperatorKeysReload(t *testing.T) {
	root, _ := keyOf(t, nkeys.CreateOperator)
	signer, signerKey := keyOf(t, nkeys.CreateOperator)
	other, _ := keyOf(t, nkeys.CreateOperator)
	a, aToken, asA := signedAccount(t, root, nil)
	b, bToken, asB := signedAccount(t, signer, nil)
	c, cToken, asC := signedAccount(t, other, nil)
	conf := func(operators ...string) string {
		return fmt.Sprintf("operator: [%s]\nresolver: MEMORY\nresolver_preload { %s: %s\n %s: %s\n %s: %s }\n",
			strings.Join(operators, ", "), a, aToken, b, bToken, c, cToken)
	}
	p := launch(t, conf(operatorToken(t, root, "", false)))
	check := func(what string, want ...bool) {
		t.Helper()
		for i, option := range []nats.Option{asA, asB, asC} {
			if err := p.try(option); (err == nil) != want[i] {
				t.Errorf("%s: account %d: %v", what, i, err)
			}
		}
	}
	check("one operator", true, false, false)
	p.reload(t, conf(operatorToken(t, root, "", false, signerKey)), "Reloaded server configuration")
	check("with a signing key", true, true, false)
	p.reload(t, conf(operatorToken(t, root, "", false), operatorToken(t, other, "", false)), "Reloaded server configuration")
	check("the key is withdrawn, another operator is there", true, false, true)
	// Strictly, neither does the root sign accounts nor the account's own key users.
	p.reload(t, conf(operatorToken(t, root, "", true, signerKey)), "Reloaded server configuration")
	check("strict", false, false, false)
	p.reload(t, conf(operatorToken(t, root, "", false, signerKey)), "Reloaded server configuration")
	check("not strict any more", true, true, false)
}
