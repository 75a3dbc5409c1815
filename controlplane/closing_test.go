package controlplane_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/controlplane/internal/auditlog"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (c *caller) organization(t *testing.T) *apiv1.Organization {
	t.Helper()
	return must[*apiv1.GetOrganizationResponse](t, "read")(c.orgs.GetOrganization(t.Context(), &apiv1.GetOrganizationRequest{Name: acme})).GetOrganization()
}

// TestAClosedOrganization is served nowhere and read only, and comes back as it was
// until it ends for good.
func TestAClosedOrganization(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(*plane, *testing.T) judge) {
		p := start(t, t.TempDir())
		signed, owner := p.signUp(t, "acme")
		j := open(p, t)
		ctx := t.Context()
		client := j.mustConnect(t, signed.GetCredsFile())
		before := owner.organization(t)

		closed := must[*apiv1.CloseOrganizationResponse](t, "close")(owner.orgs.CloseOrganization(ctx, &apiv1.CloseOrganizationRequest{Name: acme, Etag: before.GetEtag()}))
		o := closed.GetOrganization()
		if o.GetState() != apiv1.Organization_STATE_CLOSING || o.GetPurgeTime().AsTime().Sub(o.GetCloseTime().AsTime()) != 30*24*time.Hour {
			t.Errorf("closed: %v", o)
		}
		j.settle(t, owner, acmeAccount, closed.GetOperation())
		client.wantGone(t, "closed")
		j.wantRefused(t, signed.GetCredsFile(), "closed")
		if got := owner.inForce(t, acmeAccount, "connections"); got != "0 organization-closing" {
			t.Errorf("in force: %s", got)
		}
		_, err := owner.limitedAccount(t, "another", nil)
		wantError(t, err, errs.Precondition, "ORGANIZATION_CLOSING")
		_, err = owner.orgs.CloseOrganization(ctx, &apiv1.CloseOrganizationRequest{Name: acme})
		wantError(t, err, errs.Precondition, "ORGANIZATION_CLOSING")

		back := must[*apiv1.UndeleteOrganizationResponse](t, "undelete")(owner.orgs.UndeleteOrganization(ctx, &apiv1.UndeleteOrganizationRequest{Name: acme}))
		j.settle(t, owner, acmeAccount, back.GetOperation())
		j.mustConnect(t, signed.GetCredsFile())
		now := owner.organization(t)
		want := proto.CloneOf(before)
		want.Etag, want.UpdateTime = now.GetEtag(), now.GetUpdateTime()
		if !proto.Equal(now, want) {
			t.Errorf("undeleted it is %v, was %v", now, want)
		}
		_, err = owner.orgs.UndeleteOrganization(ctx, &apiv1.UndeleteOrganizationRequest{Name: acme})
		wantError(t, err, errs.Precondition, "ORGANIZATION_NOT_CLOSING")

		if err := controlplane.CloseForGood(ctx, p.Server, "acme"); err != nil {
			t.Fatal(err)
		}
		p.wantEnded(t, owner, p.as(t, p.key))
	})
}

// wantEnded checks what is left of acme, and for whom.
func (p *plane) wantEnded(t *testing.T, owner, staff *caller) {
	t.Helper()
	ctx := t.Context()
	_, err := owner.orgs.GetOrganization(ctx, &apiv1.GetOrganizationRequest{Name: acme})
	wantError(t, err, errs.Unauthenticated, "API_KEY_INVALID")
	if o := staff.organizationsOf(t, false); len(o) != 0 {
		t.Errorf("listed: %v", o)
	}
	if o := staff.organizationsOf(t, true); len(o) != 1 || o[0].GetState() != apiv1.Organization_STATE_DELETED || o[0].GetContactEmail() != "" {
		t.Errorf("listed with what has ended: %v", o)
	}
	_, err = p.as(t, p.key).orgs.SignUp(ctx, &apiv1.SignUpRequest{OrganizationId: "acme", ContactEmail: "other@example.com"})
	wantError(t, err, errs.Precondition, "ORGANIZATION_DELETED")
	_, err = p.as(t, p.key).accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: acme, AccountId: "again"})
	wantError(t, err, errs.Precondition, "ORGANIZATION_DELETED")
	if got := must[[]string](t, "audit")(controlplane.AuditReasons(ctx, p.Server, "acme", "EndOrganization")); len(got) == 0 {
		t.Error("its audit log does not say that it ended")
	}
	if err := p.VerifyAudit(ctx, func(v auditlog.Verdict) error {
		if v.Problem != "" {
			t.Errorf("audit of %q: %s", v.Organization, v.Problem)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// organizationsOf lists what the staff sees.
func (c *caller) organizationsOf(t *testing.T, ended bool) []*apiv1.Organization {
	t.Helper()
	return must[*apiv1.ListOrganizationsResponse](t, "list")(c.orgs.ListOrganizations(t.Context(), &apiv1.ListOrganizationsRequest{ShowDeleted: ended})).GetOrganizations()
}
