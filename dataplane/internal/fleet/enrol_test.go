package fleet_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/controlplane/fleettest"
	"github.com/coveymq/covey/dataplane/internal/fleet"
	"github.com/coveymq/covey/internal/errs"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

func reason(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return fmt.Sprint(err)
}

func TestJoinTokenIsGoodForOneBroker(t *testing.T) {
	cp := fleettest.Start(t)
	cfg := config(t, cp, t.TempDir())
	cfg.JoinToken = fleet.JoinToken(cp.JoinToken())
	b := start(t, cfg)
	b.awaitLease(cp)

	other := config(t, cp, t.TempDir())
	other.JoinToken = cfg.JoinToken
	if _, err := fleet.Open(t.Context(), other); reason(err) != "JOIN_TOKEN_REFUSED" {
		t.Errorf("Open with a used token = %v, want JOIN_TOKEN_REFUSED", err)
	}
	// The same broker finds its identity and needs no token any more.
	b.stop()
	again := start(t, restarted(cfg))
	if again.BrokerID() != b.BrokerID() {
		t.Errorf("broker id %s after a restart, want %s", again.BrokerID(), b.BrokerID())
	}
}

func TestWrongJoinTokens(t *testing.T) {
	cp := fleettest.Start(t)
	good := cp.JoinToken()
	pin := good[len("coveyjoin_"):][:43]
	secret := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	otherCA := sha256.Sum256([]byte("another"))
	for _, tt := range []struct{ name, token, want string }{
		{"none", "", "JOIN_TOKEN_MISSING"},
		{"malformed", "coveyjoin_short", "JOIN_TOKEN_MALFORMED"},
		{"wrong secret", "coveyjoin_" + pin + "_" + secret, "JOIN_TOKEN_REFUSED"},
		{"other fleet", "coveyjoin_" + base64.RawURLEncoding.EncodeToString(otherCA[:]) + "_" + secret, "JOIN_TOKEN_OTHER_FLEET"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(t, cp, t.TempDir())
			cfg.JoinToken = fleet.JoinToken(tt.token)
			_, err := fleet.Open(t.Context(), cfg)
			if reason(err) != tt.want {
				t.Errorf("Open = %v, want %s", err, tt.want)
			}
			if tt.token != "" && strings.Contains(fmt.Sprintf("%v %+v %#v", err, cfg, cfg.JoinToken), tt.token) {
				t.Error("the token is printed")
			}
		})
	}
}

func TestOpenWaitsForTheControlPlane(t *testing.T) {
	cp := fleettest.Start(t)
	cfg := config(t, cp, t.TempDir())
	cfg.JoinToken = fleet.JoinToken(cp.JoinToken())
	cp.Down()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := fleet.Open(ctx, cfg); err == nil {
		t.Fatal("Open without a control plane or an identity succeeded")
	}
	cp.Up()
	b := start(t, cfg)
	b.awaitLease(cp)
}

func TestCertificateOfAnotherFleetIsRefused(t *testing.T) {
	cp, other := fleettest.Start(t), fleettest.Start(t)
	b := join(t, other)
	tlsConfig := b.ClientTLS()
	tlsConfig.InsecureSkipVerify, tlsConfig.VerifyConnection = true, nil
	conn, err := grpc.NewClient(cp.Addr, grpc.WithTransportCredentials(credentials.NewTLS(tlsConfig)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fleetv1.NewFleetServiceClient(conn).LookupAccount(t.Context(),
		&fleetv1.LookupAccountRequest{AccountPublicKey: cp.NewAccount()})
	if status.Code(err) != codes.Unavailable { // the handshake fails
		t.Errorf("LookupAccount with a certificate of another fleet = %v, want Unavailable", err)
	}
	// And the broker does not talk to a control plane of another fleet.
	b.stop()
	cfg := b.cfg
	cfg.ControlPlaneAddr, cfg.JoinToken = cp.Addr, ""
	moved := start(t, cfg)
	fleettest.Await(t, "broker refuses", moved.sink.isOffline)
	if len(cp.Progress(0)) != 0 {
		t.Error("a broker of another fleet is listed")
	}
	// With a join token of the new fleet it moves there.
	moved.stop()
	cfg.JoinToken = fleet.JoinToken(cp.JoinToken())
	cfg.OperatorPublicKey = cp.OperatorKey()
	start(t, cfg).awaitLease(cp)
}

func TestBrokerThatWasRemovedIsRefused(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	b.stop()
	if _, err := cp.Etcd.Delete(t.Context(), "/covey/v1/fleet/broker/"+b.BrokerID()); err != nil {
		t.Fatal(err)
	}
	again := start(t, restarted(b.cfg))
	fleettest.Await(t, "broker is refused", again.sink.isOffline)
	if len(cp.Progress(0)) != 0 {
		t.Error("a removed broker came back")
	}
}

func TestCertificateRenewsWhileAttending(t *testing.T) {
	cp := fleettest.Start(t)
	b := join(t, cp)
	before := b.CertificateSerial()
	if err := b.RenewNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.CertificateSerial().Cmp(before) == 0 {
		t.Error("the certificate is the same")
	}
	// New connections show it, and so does the next process.
	cp.Down()
	cp.Up()
	_, revision := cp.PutAccount(cp.NewAccount(), "acme")
	fleettest.Await(t, "acknowledged after reconnecting", func() bool { return cp.Progress(revision)[0].Acknowledged })
	b.stop()
	again := start(t, restarted(b.cfg))
	again.awaitLease(cp)
	if again.BrokerID() != b.BrokerID() || again.CertificateSerial().Cmp(b.CertificateSerial()) != 0 {
		t.Error("the renewed identity was not kept")
	}
}
