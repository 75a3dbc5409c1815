package monitor_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/secure"
	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
)

// What is told of TLS is what nats-server tells: version, suite, and the
// client's certificate to those who ask for users.
func TestTLSIsShownLikeNatsServers(t *testing.T) {
	ca := securetest.NewAuthority(t)
	pair := ca.Server(t)
	client, _ := ca.Client(t, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "somebody"} })
	theirs := stock(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", pair.CertFile, pair.KeyFile, ca.CAFile))
	settings, err := secure.Load(secure.Options{Certificates: []secure.KeyPair{pair}, CAFile: ca.CAFile, Verify: true})
	must(t, err)
	o := config.Default()
	o.Clients.TLS = settings
	our := start(t, o)
	for _, s := range []*subject{theirs, our} {
		s.connect(t, "x", nats.Secure(ca.Config(t, client)))
		s.connect(t, "gone", nats.Secure(ca.Config(t, client))).Close()
		eventually(t, "one is gone", func() bool { return s.object(t, "/connz?state=closed")["total"] == 1.0 })
	}
	for _, path := range []string{"/connz", "/connz?auth=1", "/connz?state=any&auth=1", "/varz"} {
		compareShapes(t, path, shapeOf(t, theirs.get(t, path)), shapeOf(t, our.get(t, path)))
	}
	compare(t, "/varz", []string{"tls_required", "tls_verify", "tls_timeout", "tls_cert_not_after"}, theirs.object(t, "/varz"), our.object(t, "/varz"))
	compare(t, "/connz?auth=1", []string{"tls_version", "tls_cipher_suite", "tls_first", "tls_peer_certs"},
		theirs.list(t, "/connz?auth=1", "connections")[0], our.list(t, "/connz?auth=1", "connections")[0])
}
