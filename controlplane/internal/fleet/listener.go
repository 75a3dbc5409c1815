package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"time"
)

// ServerName is in every certificate of a control plane's listeners, and is what
// brokers verify: the CA signs nothing else for servers, so a broker may reach
// the control plane by any address, balancer or forwarded port.
const ServerName = "controlplane.fleet.covey"

// listenerCertificates keeps the certificate of the mTLS listeners fresh.
type listenerCertificates struct {
	ca    *authority
	hosts []string // further names, for clients that verify what they dialled

	mu      sync.Mutex
	current *tls.Certificate
}

// TLSConfig is for a listener that brokers call: auth is
// tls.VerifyClientCertIfGiven where brokers enrol, and
// tls.RequireAndVerifyClientCert elsewhere (usage).
func (s *Service) TLSConfig(auth tls.ClientAuthType) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: auth,
		ClientCAs:  s.ca.pool(),
		NextProtos: []string{"h2"},
		VerifyConnection: func(c tls.ConnectionState) error {
			if len(c.PeerCertificates) > 0 && s.feed.revoked(c.PeerCertificates[0].Subject.CommonName) {
				return errRevoked
			}
			return nil
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certificates.get(time.Now())
		},
	}
}

func (l *listenerCertificates) get(now time.Time) (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.current; c != nil && c.Leaf.NotAfter.Sub(now) > serverCertificateLife/3 {
		return c, nil
	}
	fresh, err := l.issue()
	if err != nil {
		return nil, err
	}
	l.current = fresh
	return fresh, nil
}

func (l *listenerCertificates) issue() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate listener key: %w", err)
	}
	template, err := newTemplate(ServerName, serverCertificateLife)
	if err != nil {
		return nil, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = []string{ServerName, "localhost"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for _, h := range l.hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	chain, err := l.ca.sign(template, key.Public())
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("parse listener certificate: %w", err)
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}
