package controlplane_test

import (
	"fmt"
	"path"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// shortImpact is an impact in one line.
func shortImpact(i *apiv1.Impact) string {
	if i == nil {
		return "none"
	}
	text := fmt.Sprintf("%d connections at %d brokers, %d credentials", i.GetConnections(), i.GetBrokersCounted(), i.GetCredentials())
	if n := len(i.GetApiKeys()); n > 0 {
		text += fmt.Sprintf(", %d API keys", n)
	}
	for _, a := range i.GetAccounts() {
		text += fmt.Sprintf(", %d of %s", a.GetConnections(), path.Base(a.GetAccount()))
	}
	if i.GetBrokersMissing() != int64(len(i.GetUncountedBrokers())) || i.GetIncomplete() != (i.GetBrokersMissing() > 0) || int64(len(i.GetCredentialNames())) != i.GetCredentials() {
		text += fmt.Sprintf(", which is not consistent: %v", i)
	}
	for _, b := range i.GetUncountedBrokers() {
		text += fmt.Sprintf(", without %s: %s", b.GetDisplayName(), b.GetReason())
	}
	return text
}

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
		return shortImpact(r.GetImpact()) == "6 connections at 2 brokers, 2 credentials"
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
	if shortImpact(r.GetImpact()) != "0 connections at 0 brokers, 1 credentials" {
		t.Errorf("with no broker: %v", r.GetImpact())
	}
}
