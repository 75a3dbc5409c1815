package controlplane_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

// The staff make tokens as they need them, without a restart: each is shown once
// and lets one broker in.
func TestTheStaffMakesJoinTokens(t *testing.T) {
	p := start(t, t.TempDir())
	signed, _ := p.signUp(t, "acme")
	ctx := t.Context()
	brokers := adminv1.NewBrokerServiceClient(p.as(t, p.key).conn)
	req := &adminv1.CreateJoinTokenRequest{Ttl: durationpb.New(30 * time.Minute), RequestId: "one"}
	made := must[*adminv1.CreateJoinTokenResponse](t, "make")(brokers.CreateJoinToken(ctx, req))
	if left := time.Until(made.GetExpireTime().AsTime()); left > 30*time.Minute || left < 25*time.Minute {
		t.Errorf("it is good for %v", left)
	}
	_, err := brokers.CreateJoinToken(ctx, req)
	wantError(t, err, errs.Precondition, "SECRET_ALREADY_DELIVERED")
	other := proto.CloneOf(req)
	other.Ttl = durationpb.New(time.Hour)
	_, err = brokers.CreateJoinToken(ctx, other)
	wantError(t, err, errs.Conflict, "REQUEST_ID_REUSED")
	for _, ttl := range []time.Duration{time.Second, 25 * time.Hour} {
		_, err = brokers.CreateJoinToken(ctx, &adminv1.CreateJoinTokenRequest{Ttl: durationpb.New(ttl)})
		wantError(t, err, errs.Invalid, "INVALID_FIELD")
	}
	p.enrolled(t, "one", t.TempDir(), made.GetJoinToken()).mustConnect(t, signed.GetCredsFile())
	if _, err := dataplane.New(ctx, dataplane.Config{
		Host: "127.0.0.1", ServerName: "two", StateDir: t.TempDir(),
		ControlPlane: &dataplane.ControlPlane{
			FleetAddr: p.FleetAddr(), OTLPAddr: p.OTLPAddr(), OperatorPublicKey: p.OperatorPublicKey(), JoinToken: dataplane.JoinToken(made.GetJoinToken()),
		},
	}); err == nil {
		t.Error("one token lets two brokers in")
	}
}
