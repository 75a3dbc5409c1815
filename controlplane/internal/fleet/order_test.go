package fleet_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/controlplane/fleettest"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

func order(t *testing.T, cp *fleettest.ControlPlane, broker, text string) {
	t.Helper()
	if _, err := cp.Etcd.Put(t.Context(), "/covey/v1/fleet/order/"+broker, text); err != nil {
		t.Fatal(err)
	}
}

// untilDraining reads until a welcome says whether the broker is to drain.
func untilDraining(t *testing.T, stream fleetv1.FleetService_AttendClient, want bool) {
	t.Helper()
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		w := m.GetWelcome()
		if w == nil {
			continue
		}
		if w.GetOperatorJwt() == "" {
			t.Error("a welcome without the operator")
		}
		if w.GetDraining() == want {
			return
		}
	}
}

func TestABrokerHearsThatItIsToDrain(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	p := enrol(t, cp)
	stream, _, _ := p.attend(t)
	order(t, cp, "brk_other", `{"draining":true}`)
	order(t, cp, p.id, `{"v":4,"draining":true,"reason":"a new kernel"}`)
	untilDraining(t, stream, true)
	if b := cp.Progress(0); len(b) != 1 || !b[0].Draining || b[0].Revoked {
		t.Errorf("listed as %+v", b)
	}
	// A change that the watch lost.
	cp.LoseEvents()
	order(t, cp, p.id, `{}`)
	cp.Compacted()
	untilDraining(t, stream, false)
	// One from before the session.
	order(t, cp, p.id, `{"draining":true}`)
	untilDraining(t, stream, true)
	again, err := p.Attend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send(t, again, &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Hello{Hello: &fleetv1.Hello{IncarnationId: "i1", ServerName: "p"}}})
	first, err := again.Recv()
	if err != nil || !first.GetWelcome().GetDraining() {
		t.Errorf("first message %v, %v", first, err)
	}
}

func TestARevokedBrokerIsRefusedAtOnce(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	p, other := enrol(t, cp), enrol(t, cp)
	stream, _, _ := p.attend(t)
	order(t, cp, p.id, `{"revoked":true}`)
	untilDraining(t, stream, true) // an honest one lets its clients go
	if err := streamError(stream); status.Code(err) != codes.Unauthenticated {
		t.Errorf("its session ended with %v", err)
	}
	// The connection that it has is of no use any more, and it gets no other one.
	for what, client := range map[string]fleetv1.FleetServiceClient{"same connection": p, "new connection": dial(t, cp, p.cert)} {
		_, err := client.LookupAccount(t.Context(), &fleetv1.LookupAccountRequest{AccountPublicKey: cp.NewAccount()})
		if code := status.Code(err); code != codes.Unauthenticated && code != codes.Unavailable {
			t.Errorf("lookup over the %s: %v", what, err)
		}
		_, err = client.Enrol(t.Context(), &fleetv1.EnrolRequest{CertificateRequest: request(t, newKey(t)), ServerName: "p"})
		if code := status.Code(err); code != codes.Unauthenticated && code != codes.Unavailable {
			t.Errorf("renewal over the %s: %v", what, err)
		}
	}
	// After a restart of the control plane, too; and the others are served.
	cp.Down()
	cp.Up()
	attempt, err := dial(t, cp, p.cert).Attend(t.Context())
	if err == nil {
		_ = attempt.Send(&fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Hello{Hello: &fleetv1.Hello{IncarnationId: "i2", ServerName: "p"}}})
		err = streamError(attempt)
	}
	if code := status.Code(err); code != codes.Unauthenticated && code != codes.Unavailable {
		t.Errorf("a new session: %v", err)
	}
	(&peer{FleetServiceClient: dial(t, cp, other.cert)}).attend(t)
}
