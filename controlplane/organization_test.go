package controlplane_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// What an organization says of itself changes by mask and etag; what it is granted,
// and its name, do not.
func TestAnOrganizationChangesWhatItSaysOfItself(t *testing.T) {
	p := start(t, t.TempDir())
	signed, owner := p.signUp(t, "acme")
	_, stranger := p.signUp(t, "globex")
	ctx := t.Context()
	change := func(by *caller, to *apiv1.Organization, paths ...string) (*apiv1.UpdateOrganizationResponse, error) {
		to.Name = acme
		return by.orgs.UpdateOrganization(ctx, &apiv1.UpdateOrganizationRequest{Organization: to, UpdateMask: masked(paths...)})
	}
	changed := must[*apiv1.UpdateOrganizationResponse](t, "rename")(change(owner, &apiv1.Organization{
		DisplayName: "Acme, Inc.", ContactEmail: "other@example.com", Etag: signed.GetOrganization().GetEtag(),
	}, "display_name")).GetOrganization()
	want := proto.CloneOf(signed.GetOrganization())
	want.DisplayName, want.Etag, want.UpdateTime = "Acme, Inc.", changed.GetEtag(), changed.GetUpdateTime()
	if !proto.Equal(changed, want) || changed.GetEtag() == signed.GetOrganization().GetEtag() {
		t.Errorf("changed to %v, want %v", changed, want)
	}
	got := must[*apiv1.GetOrganizationResponse](t, "get")(owner.orgs.GetOrganization(ctx, &apiv1.GetOrganizationRequest{Name: acme})).GetOrganization()
	if !proto.Equal(got, changed) {
		t.Errorf("reads %v, want %v", got, changed)
	}
	must[*apiv1.UpdateOrganizationResponse](t, "contact")(change(owner, &apiv1.Organization{ContactEmail: "billing@example.com"}, "contact_email"))

	_, err := change(owner, &apiv1.Organization{DisplayName: "x", Etag: signed.GetOrganization().GetEtag()}, "display_name")
	wantError(t, err, errs.Conflict, "STALE_ETAG")
	_, err = change(owner, &apiv1.Organization{}, "state")
	wantError(t, err, errs.Invalid, "INVALID_MASK")
	for _, address := range []string{"", "nobody", "Ann <ann@example.com>", "a@example.com, b@example.com", strings.Repeat("a", 300) + "@example.com"} {
		_, err = change(owner, &apiv1.Organization{ContactEmail: address}, "contact_email")
		if e := wantError(t, err, errs.Invalid, "INVALID_FIELD"); e.Field != "organization.contact_email" {
			t.Errorf("%q: field %q", address, e.Field)
		}
	}
	_, err = change(owner, &apiv1.Organization{DisplayName: "a\u202eb"}, "display_name")
	wantError(t, err, errs.Invalid, "INVALID_DISPLAY_NAME")
	_, err = change(stranger, &apiv1.Organization{DisplayName: "mine"}, "display_name")
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
}
