package controlplane_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

// A broker is drained, serves again, and is thrown out, while a tenant sees it.
func TestABrokersLife(t *testing.T) {
	p := start(t, t.TempDir())
	signed, _ := p.signUp(t, "acme")
	j := p.broker(t)
	staff := adminv1.NewBrokerServiceClient(p.as(t, p.key).conn)
	ctx := t.Context()
	list := func() *adminv1.Broker {
		t.Helper()
		r := must[*adminv1.ListBrokersResponse](t, "list")(staff.ListBrokers(ctx, &adminv1.ListBrokersRequest{}))
		if len(r.GetBrokers()) != 1 {
			t.Fatalf("brokers: %v", r)
		}
		return r.GetBrokers()[0]
	}
	wantState := func(want adminv1.Broker_State) {
		t.Helper()
		if b := list(); b.GetState() != want || b.GetServerName() != "test" || b.GetVersion() != "test" {
			t.Errorf("broker %v, want it %s", b, want)
		}
	}
	awaitService := func(served bool) {
		t.Helper()
		eventually(t, func() bool {
			c, err := j.connect(t, signed.GetCredsFile())
			if err == nil {
				c.Close()
			}
			return (err == nil) == served
		})
	}
	awaitService(true)
	wantState(adminv1.Broker_STATE_SERVING)
	name := list().GetName()
	client := j.mustConnect(t, signed.GetCredsFile())

	if _, err := staff.DrainBroker(ctx, &adminv1.DrainBrokerRequest{Name: name, ValidateOnly: true}); err != nil {
		t.Error(err)
	}
	client.wantAlive(t, "after a dry run")
	wantState(adminv1.Broker_STATE_SERVING)

	must[*adminv1.DrainBrokerResponse](t, "drain")(staff.DrainBroker(ctx, &adminv1.DrainBrokerRequest{Name: name, Reason: "a new kernel"}))
	client.wantGone(t, "drained")
	awaitService(false)
	wantState(adminv1.Broker_STATE_DRAINING)

	must[*adminv1.UndrainBrokerResponse](t, "undrain")(staff.UndrainBroker(ctx, &adminv1.UndrainBrokerRequest{Name: name}))
	awaitService(true)
	client = j.mustConnect(t, signed.GetCredsFile())

	must[*adminv1.RevokeBrokerResponse](t, "revoke")(staff.RevokeBroker(ctx, &adminv1.RevokeBrokerRequest{Name: name, Reason: "stolen"}))
	client.wantGone(t, "revoked")
	awaitService(false)
	wantState(adminv1.Broker_STATE_REVOKED)
	_, err := staff.UndrainBroker(ctx, &adminv1.UndrainBrokerRequest{Name: name})
	wantError(t, err, errs.Precondition, "BROKER_REVOKED")
	if _, err := staff.DrainBroker(ctx, &adminv1.DrainBrokerRequest{Name: name}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("drain of a revoked broker: %v", err)
	}
	if g := must[*adminv1.GetBrokerResponse](t, "get")(staff.GetBroker(ctx, &adminv1.GetBrokerRequest{Name: name})); !g.GetBroker().GetServeUntilTime().AsTime().After(time.Now()) {
		t.Errorf("a revoked broker may still serve what it knows, and is shown as %v", g)
	}
}

func TestWhoMaySteerBrokers(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	const nobody = "brokers/brk_00000000000000000000000000000000"
	staff, tenant := adminv1.NewBrokerServiceClient(p.as(t, p.key).conn), adminv1.NewBrokerServiceClient(owner.conn)
	_, err := staff.DrainBroker(t.Context(), &adminv1.DrainBrokerRequest{Name: nobody})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
	_, err = staff.GetBroker(t.Context(), &adminv1.GetBrokerRequest{Name: "brokers/../sys"})
	wantError(t, err, errs.Invalid, "INVALID_FIELD")
	for what, err := range map[string]error{
		"list":   second(tenant.ListBrokers(t.Context(), &adminv1.ListBrokersRequest{})),
		"drain":  second(tenant.DrainBroker(t.Context(), &adminv1.DrainBrokerRequest{Name: nobody})),
		"revoke": second(tenant.RevokeBroker(t.Context(), &adminv1.RevokeBrokerRequest{Name: nobody})),
	} {
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s by a tenant: %v", what, err)
		}
	}
}

// eventually polls until ok, or fails the test after a while.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute")
		}
		<-tick.C
	}
}
