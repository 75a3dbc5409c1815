package dataplane_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
)

// With trusted_keys accounts count that one of the keys signed; there is no JWT
// of an operator. It is so at a stock server, too, which cannot reload them.
func TestTrustedKeys(t *testing.T) {
	one, oneKey := keyOf(t, nkeys.CreateOperator)
	two, twoKey := keyOf(t, nkeys.CreateOperator)
	stranger, _ := keyOf(t, nkeys.CreateOperator)
	a, aToken, asA := signedAccount(t, one, nil)
	b, bToken, asB := signedAccount(t, two, nil)
	c, cToken, asC := signedAccount(t, stranger, nil)
	preload := fmt.Sprintf("\nresolver: MEMORY\nresolver_preload { %s: %s\n %s: %s\n %s: %s }\nsystem_account: %s\n", a, aToken, b, bToken, c, cToken, a)
	both := fmt.Sprintf("trusted_keys: [%s, %s]%s", oneKey, twoKey, preload)
	stock, ours := natsServer(t, both, nil), launch(t, both)
	check := func(url string, bAlike error) {
		t.Helper()
		for _, one := range []struct {
			as   nats.Option
			want error
		}{{asA, nil}, {asB, bAlike}, {asC, nats.ErrAuthorization}} {
			nc, err := natsConnect(url, one.as)
			if !errors.Is(err, one.want) {
				t.Errorf("%s: %v, not %v", url, err, one.want)
			}
			if err == nil {
				nc.Close()
			}
		}
	}
	check(stock.ClientURL(), nil)
	check(ours.url, nil)
	ours.reload(t, "trusted: "+oneKey+preload, "Reloaded server configuration")
	check(ours.url, nats.ErrAuthorization)
}

// An account resolver may be a web server that wants to see a certificate, and
// whose own is signed by an authority that resolver_tls names.
func TestAccountsFromASecureWebServer(t *testing.T) {
	operator, _ := keyOf(t, nkeys.CreateOperator)
	system, systemToken, _ := signedAccount(t, operator, nil)
	a, aToken, asA := signedAccount(t, operator, nil)
	authority := securetest.NewAuthority(t)
	shows, _ := authority.Client(t, func(c *x509.Certificate) { c.Subject.CommonName = "broker" })
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch filepath.Base(r.URL.Path) {
		case "accounts":
		case a:
			_, _ = w.Write([]byte(aToken)) // the broker is the judge of what arrived
		case system:
			_, _ = w.Write([]byte(systemToken))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	web.TLS = authority.Config(t, authority.Server(t))
	web.TLS.ClientAuth, web.TLS.ClientCAs = tls.RequireAndVerifyClientCert, web.TLS.RootCAs
	web.StartTLS()
	defer web.Close()
	conf := fmt.Sprintf("operator: %s\nresolver: URL(%s/accounts)\n", operatorToken(t, operator, system, false), web.URL)
	secured := conf + fmt.Sprintf("resolver_tls { ca_file: %q, cert_file: %q, key_file: %q }\n", authority.CAFile, shows.CertFile, shows.KeyFile)
	for _, url := range []string{natsServer(t, secured, nil).ClientURL(), launch(t, secured, "-m", "-1").url} {
		nc, err := natsConnect(url, asA)
		must(t, err)
		nc.Close()
	}
	for what, bad := range map[string]string{
		"the system's authorities": conf,
		"no certificate":           conf + fmt.Sprintf("resolver_tls { ca_file: %q }\n", authority.CAFile),
	} {
		var out output
		if code := dataplane.Command(t.Context(), []string{"-c", file(t, bad), "-p", "-1"}, "v-test", &out, &out); code == 0 {
			t.Errorf("%s: it starts", what)
		}
	}
}
