package fleet_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/controlplane/fleettest"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

// collector is what a collector of usage has: a certificate, and whom it trusts.
func collector(t *testing.T, cp *fleettest.ControlPlane) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := cp.Service.CollectorCertificate(t.Context(), "one", request)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	for _, der := range signed.Roots {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		roots.AddCert(cert)
	}
	return tls.Certificate{Certificate: signed.Chain, PrivateKey: key}, roots
}

// handshake has a client and a server of TLS meet, and returns what each says.
func handshake(t *testing.T, client, server *tls.Config) (atClient, atServer error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			atServer = err
			return
		}
		defer func() { _ = conn.Close() }()
		if s, ok := conn.(*tls.Conn); ok {
			atServer = s.HandshakeContext(t.Context())
		}
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	c := tls.Client(conn, client)
	atClient = c.HandshakeContext(t.Context())
	if atClient != nil {
		_ = conn.Close()
	}
	serving.Wait()
	return atClient, atServer
}

// A collector with a certificate of the fleet is a place that brokers report to,
// and nobody that they take orders from; to a control plane it is no broker.
func TestACollectorsCertificate(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	cert, roots := collector(t, cp)
	server := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	if c, s := handshake(t, b.ClientTLS(), server); c != nil || s != nil {
		t.Errorf("a broker reports to a collector: %v, %v", c, s)
	}
	var wrongName x509.HostnameError
	if c, _ := handshake(t, b.FleetTLS(), server); !errors.As(c, &wrongName) {
		t.Errorf("a broker takes orders from a collector: %v", c)
	}
	asClient := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: "controlplane.fleet.covey"}
	if c, s := handshake(t, asClient, cp.Service.TLSConfig(tls.RequireAndVerifyClientCert)); c != nil || s != nil {
		t.Errorf("a collector reports to a control plane: %v, %v", c, s)
	}
	conn, err := grpc.NewClient(cp.Addr, grpc.WithTransportCredentials(credentials.NewTLS(asClient)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = fleetv1.NewFleetServiceClient(conn).LookupAccount(t.Context(), &fleetv1.LookupAccountRequest{AccountPublicKey: cp.NewAccount()})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a collector looks an account up: %v", err)
	}
}
