package testetcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TLSFiles are the files of a cluster that asks clients for certificates.
type TLSFiles struct {
	CA                    string
	ServerCert, ServerKey string
	ClientCert, ClientKey string
}

// NewTLSFiles makes a certificate authority, a certificate of the members and
// one of clients.
func NewTLSFiles(tb testing.TB) *TLSFiles {
	tb.Helper()
	dir := tb.TempDir()
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
	}
	ca := template(1, "test CA")
	ca.IsCA, ca.KeyUsage, ca.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	caKey := newKey(tb)
	files := &TLSFiles{CA: filepath.Join(dir, "ca.pem")}
	writePEM(tb, files.CA, "CERTIFICATE", sign(tb, ca, ca, caKey, caKey))
	for i, f := range []struct{ cert, key *string }{{&files.ServerCert, &files.ServerKey}, {&files.ClientCert, &files.ClientKey}} {
		key := newKey(tb)
		name := []string{"server", "client"}[i]
		*f.cert, *f.key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
		writePEM(tb, *f.cert, "CERTIFICATE", sign(tb, template(int64(i+2), name), ca, key, caKey))
		text, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			tb.Fatal(err)
		}
		writePEM(tb, *f.key, "PRIVATE KEY", text)
	}
	return files
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func sign(tb testing.TB, cert, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
	tb.Helper()
	text, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, by)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func writePEM(tb testing.TB, path, kind string, text []byte) {
	tb.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: text}), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// client returns the TLS settings of a client.
func (f *TLSFiles) client(tb testing.TB) *tls.Config {
	tb.Helper()
	cert, err := tls.LoadX509KeyPair(f.ClientCert, f.ClientKey)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := os.ReadFile(f.CA)
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS12}
}
