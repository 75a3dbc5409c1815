package controlplane_test

import (
	"context"
	"strings"
	"testing"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// lookAlikes are ids that people would take for acme, and others that nobody could
// read. None may become the name of anything.
func lookAlikes() map[string]string {
	return map[string]string{
		"Cyrillic": "\u0430cme", "Greek": "acm\u03b5", "full width": "\uff41cme", "capital": "Acme", "accent": "acm\u00e9", "accent apart": "acme\u0301",
		"zero width": "ac\u200bme", "joined": "ac\u200dme", "backwards": "\u202eemca", "soft hyphen": "ac\u00adme", "blank": "acme ", "no-break blank": "acme\u00a0",
		"hyphen": "ac\u2010me", "dotless": "ac\u0131me", "long s": "acme\u017f", "mathematical": "\U0001d41acme", "nothing": "", "64 KB": strings.Repeat("a", 64<<10),
		"64 KB of two bytes each": strings.Repeat("\u00e9", 32<<10), "not UTF-8 once": "acm\ufffd", "line": "ac\nme", "zero": "ac\x00me",
	}
}

func TestNamesThatLookLikeOthersAreRefused(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	staff := p.as(t, p.key)
	before := holdings(t, owner, "acme")
	makers := map[string]func(ctx context.Context, id string) error{
		"organization_id": func(ctx context.Context, id string) error {
			return second(staff.orgs.SignUp(ctx, &apiv1.SignUpRequest{OrganizationId: id, ContactEmail: "a@example.com"}))
		},
		"account_id": func(ctx context.Context, id string) error {
			return second(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: acme, AccountId: id}))
		},
		"user_id": func(ctx context.Context, id string) error {
			return second(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: id}))
		},
		"role_id": func(ctx context.Context, id string) error {
			return second(owner.roles.CreateRole(ctx, &apiv1.CreateRoleRequest{Parent: acmeAccount, RoleId: id, Role: &apiv1.Role{}}))
		},
		"service_account_id": func(ctx context.Context, id string) error {
			return second(owner.services.CreateServiceAccount(ctx, &apiv1.CreateServiceAccountRequest{
				Parent: acme, ServiceAccountId: id, ServiceAccount: &apiv1.ServiceAccount{RoleBindings: []*apiv1.RoleBinding{{Role: "developer"}}},
			}))
		},
		"member_id": func(ctx context.Context, id string) error {
			r := invitation("ann", &apiv1.RoleBinding{Role: "developer"})
			r.MemberId = id
			return second(owner.invitations.CreateInvitation(ctx, r))
		},
		"export_id": func(ctx context.Context, id string) error {
			return second(owner.exports.CreateExport(ctx, &apiv1.CreateExportRequest{
				Parent: acmeAccount, ExportId: id, Export: &apiv1.Export{Subject: "a", Type: apiv1.Export_TYPE_STREAM},
			}))
		},
	}
	for field, make := range makers {
		for what, id := range lookAlikes() {
			err := make(t.Context(), id)
			if err == nil {
				t.Errorf("%s %s (%q) is taken", what, field, id)
				continue
			}
			e := wantError(t, err, errs.Invalid, "INVALID_ID")
			if e.Field != field || len(e.Message) > 500 {
				t.Errorf("%s: field %q, %d bytes of message", what, e.Field, len(e.Message))
			}
		}
	}
	if after := holdings(t, owner, "acme"); after != before {
		t.Errorf("changed from\n%s\nto\n%s", before, after)
	}
	list := must[*apiv1.ListOrganizationsResponse](t, "list")(staff.orgs.ListOrganizations(t.Context(), &apiv1.ListOrganizationsRequest{}))
	if len(list.GetOrganizations()) != 1 {
		t.Errorf("there are %v", list.GetOrganizations())
	}
}
