package fleet

import (
	"context"
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
	hosts []string // further names, for clients that verify what they dialled

	mu      sync.Mutex
	current map[string]*tls.Certificate // by the CA that signed
}

// TLSConfig is for a listener that brokers call: auth is
// tls.VerifyClientCertIfGiven where brokers enrol, and
// tls.RequireAndVerifyClientCert elsewhere (usage).
func (s *Service) TLSConfig(auth tls.ClientAuthType) *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: auth,
		ClientCAs:  s.authorities.Load().pool(),
		NextProtos: []string{"h2"},
		VerifyConnection: func(c tls.ConnectionState) error {
			if len(c.PeerCertificates) > 0 && !s.authorities.Load().signed(c.VerifiedChains) {
				return errRetired
			}
			if len(c.PeerCertificates) > 0 && s.feed.revoked(c.PeerCertificates[0].Subject.CommonName) {
				return errRevoked
			}
			return nil
		},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certificates.get(hello.Context(), s.authorities.Load().asked(hello.ServerName), time.Now())
		},
	}
	// The CAs may change while the listener is there.
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := base.Clone()
		now.GetConfigForClient, now.ClientCAs = nil, s.authorities.Load().pool()
		return now, nil
	}
	return base
}

func (l *listenerCertificates) get(ctx context.Context, ca *authority, now time.Time) (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.current[ca.id()]; c != nil && c.Leaf.NotAfter.Sub(now) > serverCertificateLife/3 {
		return c, nil
	}
	fresh, err := l.issue(ctx, ca)
	if err != nil {
		return nil, err
	}
	l.current[ca.id()] = fresh
	return fresh, nil
}

func (l *listenerCertificates) issue(ctx context.Context, ca *authority) (*tls.Certificate, error) {
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
	chain, err := ca.sign(ctx, template, key.Public())
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("parse listener certificate: %w", err)
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}
