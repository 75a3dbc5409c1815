package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/testcollector"
)

// counted is what `covey usage --json` says of an organization's accounts in sum.
func (h *home) counted(who tenant) (published, delivered int64) {
	h.t.Helper()
	var usage struct {
		Accounts []struct {
			Published int64 `json:"published_messages"`
			Delivered int64 `json:"delivered_messages"`
		}
	}
	h.coveyJSON(&usage, "usage", "--context", who.Context)
	for _, a := range usage.Accounts {
		published, delivered = published+a.Published, delivered+a.Delivered
	}
	return published, delivered
}

// reporting runs a broker of a control plane that reports to somewhere else, with
// one tenant who publishes and receives so many messages.
func reporting(t *testing.T, cp *controlplane.Server, name, to string, who tenant, messages int) *brokerProcess {
	t.Helper()
	token, err := cp.JoinToken(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ports := []int{freePort(t), freePort(t)} // nobody is at the second
	b := enrolment{fleet: cp.FleetAddr(), otlp: to, operator: cp.OperatorPublicKey(), token: token}.join(t, name, ports[0], ports[1])
	var nc *nats.Conn
	eventually(t, name+" lets the tenant in", func() bool {
		nc, err = nats.Connect(b.url, nats.UserCredentials(who.CredsFile))
		return err == nil
	})
	t.Cleanup(nc.Close)
	sub := subscribe(t, nc, "counted", "")
	for range messages {
		if err := nc.Publish("counted", nil); err != nil {
			t.Fatal(err)
		}
	}
	for range messages {
		next(t, sub)
	}
	return b
}

// Usage goes from a broker through a real OpenTelemetry Collector that has a
// certificate of the fleet, made with the command line, to the control plane, to
// the message. Neither a broker of another fleet nor anybody without a certificate
// has anything to do with that Collector.
func TestUsageGoesThroughACollectorOfTheFleet(t *testing.T) {
	if os.Getenv("COVEY_COLLECTOR") == "" {
		t.Skip("COVEY_COLLECTOR names no Collector: make collector-test builds one")
	}
	ours, theirs := newHome(t), newHome(t)
	cp, acme := controlPlane(t, ours)
	other, stranger := controlPlane(t, theirs)
	files, strange := ours.collectorCertificate(), theirs.collectorCertificate()
	c := testcollector.StartSecured(t, cp.OTLPAddr(), files)

	const messages = 1234
	reporting(t, cp, "ours", c.Addr(), acme, messages)
	foreign := reporting(t, other, "foreign", c.Addr(), stranger, messages)
	eventually(t, "all that was counted is in the ledger", func() bool {
		published, delivered := ours.counted(acme)
		if published > messages || delivered > messages {
			t.Fatalf("%d and %d messages of %d are counted", published, delivered, messages)
		}
		return published == messages && delivered == messages
	})
	eventually(t, "the broker of another fleet says why it does not report", func() bool {
		text := foreign.log.String()
		return strings.Contains(text, "usage is not reported") && strings.Contains(text, "certificate signed by unknown authority")
	})
	if published, _ := theirs.counted(stranger); published != 0 {
		t.Errorf("%d messages of another fleet went through our Collector", published)
	}
	if err := meets(t, c.Addr(), files.Authorities); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("the Collector says to one without a certificate: %v", err)
	}
	pair, err := tls.LoadX509KeyPair(strange.Cert, strange.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := meets(t, c.Addr(), files.Authorities, pair); err == nil || !strings.Contains(err.Error(), "remote error: tls:") {
		t.Errorf("the Collector says to one with a certificate of another fleet: %v", err)
	}
}

// collectorCertificate has the staff make a certificate for a collector.
func (h *home) collectorCertificate() testcollector.TLS {
	h.t.Helper()
	dir := filepath.Join(h.dir, "tls")
	h.covey("--context", "operator", "admin", "collector", "certificate", "collector-1", "--out", dir)
	return testcollector.TLS{Cert: filepath.Join(dir, "collector-1.crt"), Key: filepath.Join(dir, "collector-1.key"), Authorities: filepath.Join(dir, "fleet-ca.crt")}
}

// meets connects to the Collector as somebody who knows its authority and shows
// those certificates, and returns how that ends.
func meets(t *testing.T, addr, authorities string, certs ...tls.Certificate) error {
	t.Helper()
	roots := x509.NewCertPool()
	if text, err := os.ReadFile(authorities); err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatalf("the authorities: %v", err)
	}
	conn, err := tls.Dial("tcp", addr, &tls.Config{ //nolint:noctx // loopback
		RootCAs: roots, ServerName: "collector.fleet.covey", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // whatever it asks for
			if len(certs) == 0 {
				return &tls.Certificate{}, nil
			}
			return &certs[0], nil
		},
	})
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Read(make([]byte, 1)) // in TLS 1.3 the client hears of it with the first answer
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}
