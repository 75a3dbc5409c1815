// Package securetest makes certificates for tests of TLS.
package securetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/secure"
)

// Authority is a certificate authority.
type Authority struct {
	// CAFile holds its certificate.
	CAFile string

	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

// NewAuthority makes an authority whose files go with the test.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{dir: tb.TempDir(), key: newKey(tb)}
	template := a.template("test authority")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage |= x509.KeyUsageCertSign
	a.cert = a.sign(tb, template, template, &a.key.PublicKey)
	a.CAFile = a.write(tb, "ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

// Server makes a certificate for loopback.
func (a *Authority) Server(tb testing.TB) secure.KeyPair {
	tb.Helper()
	p, _ := a.issue(tb, func(c *x509.Certificate) {
		c.Subject.CommonName = "server"
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	})
	return p
}

// Client makes a certificate for a client; change says who it is.
func (a *Authority) Client(tb testing.TB, change func(*x509.Certificate)) (secure.KeyPair, *x509.Certificate) {
	tb.Helper()
	return a.issue(tb, change)
}

// Config returns what a client needs that trusts the authority and shows a
// certificate, if there is one.
func (a *Authority) Config(tb testing.TB, shows ...secure.KeyPair) *tls.Config {
	tb.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	c.RootCAs.AddCert(a.cert)
	for _, p := range shows {
		pair, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
		if err != nil {
			tb.Fatal(err)
		}
		c.Certificates = append(c.Certificates, pair)
	}
	return c
}

func (a *Authority) issue(tb testing.TB, change func(*x509.Certificate)) (secure.KeyPair, *x509.Certificate) {
	tb.Helper()
	template := a.template("")
	change(template)
	key := newKey(tb)
	cert := a.sign(tb, template, a.cert, &key.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	name := fmt.Sprint(a.serial)
	return secure.KeyPair{
		CertFile: a.write(tb, name+".pem", "CERTIFICATE", cert.Raw),
		KeyFile:  a.write(tb, name+".key", "PRIVATE KEY", der),
	}, cert
}

func (a *Authority) template(name string) *x509.Certificate {
	a.serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func (a *Authority) sign(tb testing.TB, template, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func (a *Authority) write(tb testing.TB, name, kind string, der []byte) string {
	tb.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}
