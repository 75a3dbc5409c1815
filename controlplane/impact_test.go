package controlplane_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// A dry run counts the connections that the change would end, at real brokers, and
// the change then ends those: over a limit the newest go first, the oldest stay.
func TestLoweringALimitClosesTheNewestAsThePreviewSaid(t *testing.T) {
	p := start(t, t.TempDir())
	signed, owner := p.signUp(t, "acme")
	ctx := t.Context()
	j, second := p.broker(t), p.broker(t)
	for _, at := range []judge{j, second} {
		eventually(t, func() bool {
			c, err := at.connect(t, signed.GetCredsFile())
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	one := owner.issue(t, acmeUser)
	var clients []*client
	for range 2 {
		clients = append(clients, j.mustConnect(t, signed.GetCredsFile()))
	}
	for range 3 {
		clients = append(clients, j.mustConnect(t, one.GetCredsFile()))
	}
	elsewhere := second.mustConnect(t, signed.GetCredsFile())
	elsewhere.wantAlive(t, "connected")

	suspend := &apiv1.SuspendAccountRequest{Name: acmeAccount, ValidateOnly: true}
	// The probes above may take a moment to be gone.
	eventually(t, func() bool {
		r := must[*apiv1.SuspendAccountResponse](t, "preview")(owner.accounts.SuspendAccount(ctx, suspend))
		return proto.Equal(r.GetImpact(), &apiv1.Impact{Connections: 6, BrokersCounted: 2})
	})
	remove := must[*apiv1.DeleteAccountResponse](t, "preview")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: acmeAccount, ValidateOnly: true}))
	if remove.GetImpact().GetConnections() != 6 {
		t.Errorf("deleting would end %v", remove.GetImpact())
	}
	revoke := &apiv1.RevokeCredentialRequest{Name: one.GetCredential().GetName(), ValidateOnly: true}
	if r := must[*apiv1.RevokeCredentialResponse](t, "preview")(owner.credentials.RevokeCredential(ctx, revoke)); r.GetImpact().GetConnections() != 3 {
		t.Errorf("revoking would end %v", r.GetImpact())
	}
	elsewhere.Close()

	limit := &apiv1.UpdateAccountRequest{
		Account:    &apiv1.Account{Name: acmeAccount, Limits: &apiv1.Limits{Connections: proto.Int64(2)}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"limits.connections"}}, ValidateOnly: true,
	}
	eventually(t, func() bool {
		r := must[*apiv1.UpdateAccountResponse](t, "preview")(owner.accounts.UpdateAccount(ctx, limit))
		return r.GetImpact().GetConnections() == 3 && r.GetOperation() == nil
	})
	for _, c := range clients {
		c.wantAlive(t, "after previews")
	}
	limit.ValidateOnly = false
	done := must[*apiv1.UpdateAccountResponse](t, "lower")(owner.accounts.UpdateAccount(ctx, limit))
	if done.GetImpact() != nil {
		t.Errorf("a change that is made has a preview: %v", done.GetImpact())
	}
	j.settle(t, owner, acmeAccount, done.GetOperation())
	for _, c := range clients[2:] {
		c.wantGone(t, "over the limit")
	}
	for _, c := range clients[:2] {
		c.wantAlive(t, "the oldest")
	}
}

// With no broker there is nothing to end, and nobody to wait for.
func TestAPreviewWithoutBrokersIsEmpty(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	r := must[*apiv1.SuspendAccountResponse](t, "preview")(owner.accounts.SuspendAccount(t.Context(), &apiv1.SuspendAccountRequest{Name: acmeAccount, ValidateOnly: true}))
	if !proto.Equal(r.GetImpact(), &apiv1.Impact{}) {
		t.Errorf("with no broker: %v", r.GetImpact())
	}
}
