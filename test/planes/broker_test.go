package planes_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/coveymq/covey/internal/lifecycle"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const heartbeatEvery = 2 * time.Second

// broker is what the control plane sees of a broker: it acknowledges what it is
// told, at once, and goes to another control plane when its own is away.
type broker struct {
	name  string
	cert  tls.Certificate
	addrs []string
}

// join enrols a broker.
func join(ctx context.Context, name, token string, addrs []string) (*broker, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	b := &broker{name: name, addrs: addrs}
	conn, err := b.dial(0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	resp, err := fleetv1.NewFleetServiceClient(conn).Enrol(ctx, &fleetv1.EnrolRequest{JoinToken: token, CertificateRequest: csr, ServerName: name})
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	b.cert = tls.Certificate{Certificate: resp.GetCertificateChain(), PrivateKey: key}
	return b, nil
}

// dial connects to the n-th control plane.
func (b *broker) dial(n int) (*grpc.ClientConn, error) {
	cfg := &tls.Config{InsecureSkipVerify: true} // who answers is other tests' matter
	if b.cert.PrivateKey != nil {
		cfg.Certificates = []tls.Certificate{b.cert}
	}
	conn, err := grpc.NewClient(b.addrs[n%len(b.addrs)], grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return conn, nil
}

// run attends until ctx ends, at the n-th control plane first.
func (b *broker) run(ctx context.Context, n int) {
	backoff := lifecycle.Backoff{Min: 50 * time.Millisecond, Max: time.Second}
	for ; ctx.Err() == nil; n++ {
		if b.attend(ctx, n) {
			backoff.Reset()
		}
		_ = backoff.Wait(ctx) // ctx is looked at above
	}
}

// attend keeps one session, and reports whether there was one.
func (b *broker) attend(ctx context.Context, n int) (welcomed bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := b.dial(n)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	stream, err := fleetv1.NewFleetServiceClient(conn).Attend(ctx)
	if err != nil {
		return false
	}
	var one sync.Mutex // of those who send
	send := func(m *fleetv1.AttendRequest) {
		one.Lock()
		defer one.Unlock()
		_ = stream.Send(m) // a broken stream is seen where it is read
	}
	send(&fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Hello{Hello: &fleetv1.Hello{IncarnationId: b.name, ServerName: b.name}}})
	var beats sync.WaitGroup
	defer beats.Wait()
	defer cancel()
	beats.Go(func() {
		every := time.NewTicker(heartbeatEvery)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				send(&fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Heartbeat{Heartbeat: &fleetv1.Heartbeat{}}})
			}
		}
	})
	for {
		m, err := stream.Recv()
		if err != nil {
			return welcomed
		}
		welcomed = true
		if w := m.GetWatermark(); w != nil {
			send(&fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Acknowledge{Acknowledge: &fleetv1.Acknowledge{Revision: w.GetRevision()}}})
		}
	}
}

// startBrokers joins and runs brokers, spread over the control planes, until the
// test ends.
func startBrokers(tb testing.TB, planes []*plane) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	tb.Cleanup(func() { cancel(); all.Wait() })
	var addrs []string
	for _, p := range planes {
		addrs = append(addrs, p.Fleet)
	}
	for i, token := range planes[0].Tokens {
		b, err := join(ctx, fmt.Sprint("broker", i), token, addrs)
		if err != nil {
			tb.Fatal(err)
		}
		all.Go(func() { b.run(ctx, i) })
	}
}
