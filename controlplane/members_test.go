package controlplane_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const acme = "organizations/acme"

func invitation(id string, bindings ...*apiv1.RoleBinding) *apiv1.CreateInvitationRequest {
	return &apiv1.CreateInvitationRequest{Parent: acme, MemberId: id, Email: id + "@acme.example", RoleBindings: bindings}
}

// member invites somebody and accepts, and returns its name and who it is.
func (p *plane) member(t *testing.T, by *caller, id string, bindings ...*apiv1.RoleBinding) (string, *caller) {
	t.Helper()
	invited := must[*apiv1.CreateInvitationResponse](t, "invite")(by.invitations.CreateInvitation(t.Context(), invitation(id, bindings...)))
	got := must[*apiv1.AcceptInvitationResponse](t, "accept")(p.as(t, "").invitations.AcceptInvitation(t.Context(), &apiv1.AcceptInvitationRequest{Token: invited.GetToken()}))
	return got.GetMember().GetName(), p.as(t, got.GetApiKey())
}

func TestInvitationLife(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx, nobody := t.Context(), p.as(t, "")
	req := invitation("ann", &apiv1.RoleBinding{Role: "developer"})
	req.RequestId = "invite"
	invited := must[*apiv1.CreateInvitationResponse](t, "invite")(owner.invitations.CreateInvitation(ctx, req))
	if life := invited.GetInvitation().GetExpireTime().AsTime().Sub(invited.GetInvitation().GetCreateTime().AsTime()); life != 7*24*time.Hour {
		t.Errorf("an invitation lives %v by default", life)
	}
	_, err := owner.invitations.CreateInvitation(ctx, req)
	wantError(t, err, errs.Precondition, "SECRET_ALREADY_DELIVERED")
	_, err = owner.invitations.CreateInvitation(ctx, invitation("ann", &apiv1.RoleBinding{Role: "admin"}))
	wantError(t, err, errs.Exists, "INVITATION_EXISTS")

	token := invited.GetToken()
	for name, wrong := range map[string]string{"cut": token[:len(token)-1], "other end": token[:len(token)-3] + "AAA", "no token": "hello", "an API key": p.key} {
		_, err := nobody.invitations.AcceptInvitation(ctx, &apiv1.AcceptInvitationRequest{Token: wrong})
		if e := wantError(t, err, errs.Unauthenticated, "INVITATION_INVALID"); strings.Contains(e.Error(), "acme") {
			t.Errorf("%s: the refusal tells whose it is: %v", name, e)
		}
	}
	_, err = nobody.members.ListMembers(ctx, &apiv1.ListMembersRequest{Parent: acme})
	wantError(t, err, errs.Unauthenticated, "API_KEY_MISSING")
	accept := &apiv1.AcceptInvitationRequest{Token: token, DisplayName: "Ann", RequestId: "accept"}
	dry := proto.CloneOf(accept)
	dry.ValidateOnly, dry.RequestId = true, ""
	if tried := must[*apiv1.AcceptInvitationResponse](t, "try")(nobody.invitations.AcceptInvitation(ctx, dry)); tried.GetApiKey() != "" {
		t.Error("a dry run hands out a key")
	}
	got := must[*apiv1.AcceptInvitationResponse](t, "accept")(nobody.invitations.AcceptInvitation(ctx, accept))
	ann := p.as(t, got.GetApiKey())
	_, err = nobody.invitations.AcceptInvitation(ctx, accept)
	wantError(t, err, errs.Precondition, "SECRET_ALREADY_DELIVERED")
	_, err = nobody.invitations.AcceptInvitation(ctx, &apiv1.AcceptInvitationRequest{Token: token})
	wantError(t, err, errs.Precondition, "INVITATION_NOT_PENDING")
	read := must[*apiv1.GetMemberResponse](t, "get")(ann.members.GetMember(ctx, &apiv1.GetMemberRequest{Name: acme + "/members/ann"})).GetMember()
	if !proto.Equal(read, got.GetMember()) || read.GetEmail() != "ann@acme.example" {
		t.Errorf("accepted %v\nread     %v", got.GetMember(), read)
	}
	must[*apiv1.CreateUserResponse](t, "a developer makes a user")(ann.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: "shop"}))
	_, err = ann.accounts.SuspendAccount(ctx, &apiv1.SuspendAccountRequest{Name: acmeAccount})
	wantError(t, err, errs.Denied, "ROLE_DENIED")

	_, err = owner.invitations.CreateInvitation(ctx, invitation("ann", &apiv1.RoleBinding{Role: "admin"}))
	wantError(t, err, errs.Exists, "MEMBER_EXISTS")
	bob := must[*apiv1.CreateInvitationResponse](t, "invite")(owner.invitations.CreateInvitation(ctx, invitation("bob", &apiv1.RoleBinding{Role: "billing"})))
	must[*apiv1.RevokeInvitationResponse](t, "revoke")(owner.invitations.RevokeInvitation(ctx, &apiv1.RevokeInvitationRequest{Name: bob.GetInvitation().GetName()}))
	_, err = nobody.invitations.AcceptInvitation(ctx, &apiv1.AcceptInvitationRequest{Token: bob.GetToken()})
	wantError(t, err, errs.Precondition, "INVITATION_NOT_PENDING")
	list := must[*apiv1.ListInvitationsResponse](t, "list")(owner.invitations.ListInvitations(ctx, &apiv1.ListInvitationsRequest{Parent: acme})).GetInvitations()
	if len(list) != 2 || list[0].GetState() != apiv1.Invitation_STATE_REVOKED || list[1].GetState() != apiv1.Invitation_STATE_ACCEPTED {
		t.Errorf("invitations are %v", list)
	}
	for _, secret := range []string{token, bob.GetToken(), got.GetApiKey()} {
		if strings.Contains(p.log.String(), secret[len(secret)-43:]) {
			t.Error("the log shows a secret")
		}
	}
}

// A member looks after its own key, and after nobody else's.
func TestAMembersKeysAreItsOwn(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	name, ann := p.member(t, owner, "ann", &apiv1.RoleBinding{Role: "read-only"})
	_, admin := p.member(t, owner, "adam", &apiv1.RoleBinding{Role: "admin"})
	own := must[*apiv1.ListAPIKeysResponse](t, "list")(ann.keys.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: name})).GetApiKeys()
	if len(own) != 1 || !strings.HasPrefix(own[0].GetName(), name+"/apiKeys/") {
		t.Fatalf("keys of the member are %v", own)
	}
	rotated := must[*apiv1.RotateAPIKeyResponse](t, "rotate")(ann.keys.RotateAPIKey(ctx, &apiv1.RotateAPIKeyRequest{Name: own[0].GetName()}))
	next := p.as(t, rotated.GetSecret())
	caller := must[*apiv1.GetCallerResponse](t, "caller")(next.access.GetCaller(ctx, &apiv1.GetCallerRequest{}))
	if caller.GetHolder() != name || caller.GetOrganization() != acme || len(caller.GetRoleBindings()) != 1 || caller.GetKeyExpireTime() == nil {
		t.Errorf("the caller is %v", caller)
	}
	for _, by := range []*caller2{{"an admin", admin}, {"an owner", owner}, {"the operator", p.as(t, p.key)}} {
		_, err := by.keys.CreateAPIKey(ctx, &apiv1.CreateAPIKeyRequest{Parent: name})
		wantError(t, err, errs.Denied, "MEMBER_KEY")
		_, err = by.keys.RotateAPIKey(ctx, &apiv1.RotateAPIKeyRequest{Name: rotated.GetApiKey().GetName()})
		wantError(t, err, errs.Denied, "MEMBER_KEY")
		must[*apiv1.ListAPIKeysResponse](t, by.who+" lists")(by.keys.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: name}))
	}
	_, err := next.keys.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: acme + "/members/adam"})
	wantError(t, err, errs.Denied, "ROLE_DENIED")
	must[*apiv1.DisableAPIKeyResponse](t, "disable")(admin.keys.DisableAPIKey(ctx, &apiv1.DisableAPIKeyRequest{Name: rotated.GetApiKey().GetName()}))
	wantError(t, getOrg(t, next), errs.Unauthenticated, "API_KEY_INVALID")
	// A service account may exchange its key, but not make itself more of them.
	sa, key, ci := p.serviceAccount(t, owner, "ci", &apiv1.RoleBinding{Role: "read-only"})
	_, err = ci.keys.CreateAPIKey(ctx, &apiv1.CreateAPIKeyRequest{Parent: sa})
	wantError(t, err, errs.Denied, "ROLE_DENIED")
	must[*apiv1.RotateAPIKeyResponse](t, "rotate")(ci.keys.RotateAPIKey(ctx, &apiv1.RotateAPIKeyRequest{Name: key}))
}

// caller2 is a caller with a name for messages.
type caller2 struct {
	who string
	*caller
}

func TestMembersKeepAnOwner(t *testing.T) {
	p := start(t, t.TempDir())
	_, first := p.signUp(t, "acme")
	ctx, operator := t.Context(), p.as(t, p.key)
	ownerRole := &apiv1.RoleBinding{Role: "owner"}
	annName, ann := p.member(t, first, "ann", ownerRole)
	_, admin := p.member(t, first, "adam", &apiv1.RoleBinding{Role: "admin"})
	mask := &fieldmaskpb.FieldMask{Paths: []string{"role_bindings"}}
	for name, f := range map[string]func(c *caller) error{
		"invite an owner": func(c *caller) error {
			_, err := c.invitations.CreateInvitation(ctx, invitation("eve", ownerRole))
			return err
		},
		"become an owner": func(c *caller) error {
			_, err := c.members.UpdateMember(ctx, &apiv1.UpdateMemberRequest{
				Member: &apiv1.Member{Name: acme + "/members/adam", RoleBindings: []*apiv1.RoleBinding{ownerRole}}, UpdateMask: mask,
			})
			return err
		},
		"demote an owner": func(c *caller) error {
			_, err := c.members.UpdateMember(ctx, &apiv1.UpdateMemberRequest{Member: &apiv1.Member{Name: annName}, UpdateMask: mask})
			return err
		},
		"remove an owner": func(c *caller) error {
			_, err := c.members.DeleteMember(ctx, &apiv1.DeleteMemberRequest{Name: annName})
			return err
		},
	} {
		t.Run("an admin cannot "+name, func(t *testing.T) { wantError(t, f(admin), errs.Denied, "OWNER_ONLY") })
	}
	must[*apiv1.DeleteServiceAccountResponse](t, "a member ends the first owner")(ann.services.DeleteServiceAccount(ctx, &apiv1.DeleteServiceAccountRequest{Name: acmeOwner}))
	for who, c := range map[string]*caller{"herself": ann, "the operator": operator} {
		_, err := c.members.DeleteMember(ctx, &apiv1.DeleteMemberRequest{Name: annName})
		t.Log(who)
		wantError(t, err, errs.Precondition, "LAST_OWNER")
		_, err = c.members.UpdateMember(ctx, &apiv1.UpdateMemberRequest{Member: &apiv1.Member{Name: annName}, UpdateMask: mask})
		wantError(t, err, errs.Precondition, "LAST_OWNER")
	}
	// Somebody whose only key does not work is no owner that can act.
	zoeName, zoe := p.member(t, ann, "zoe", ownerRole)
	key := must[*apiv1.ListAPIKeysResponse](t, "list")(ann.keys.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: zoeName})).GetApiKeys()[0].GetName()
	must[*apiv1.DisableAPIKeyResponse](t, "disable")(ann.keys.DisableAPIKey(ctx, &apiv1.DisableAPIKeyRequest{Name: key}))
	_, err := ann.members.DeleteMember(ctx, &apiv1.DeleteMemberRequest{Name: annName})
	wantError(t, err, errs.Precondition, "LAST_OWNER")
	must[*apiv1.EnableAPIKeyResponse](t, "enable")(ann.keys.EnableAPIKey(ctx, &apiv1.EnableAPIKeyRequest{Name: key}))
	must[*apiv1.DeleteMemberResponse](t, "leave")(ann.members.DeleteMember(ctx, &apiv1.DeleteMemberRequest{Name: annName}))
	wantError(t, getOrg(t, ann), errs.Unauthenticated, "API_KEY_INVALID")
	if err := getOrg(t, zoe); err != nil {
		t.Errorf("the owner that is left: %v", err)
	}
}

func TestTestPermissionsAnswersAsCallsWould(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.signUp(t, "globex")
	ctx := t.Context()
	must[*apiv1.CreateAccountResponse](t, "create")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: acme, AccountId: "orders"}))
	const orders = acme + "/accounts/orders"
	_, ann := p.member(t, owner, "ann", &apiv1.RoleBinding{Role: "developer", Account: orders})
	asked := []string{"AccountService/GetAccount", "UserService/CreateUser", "AccountService/SuspendAccount"}
	for resource, want := range map[string][]string{
		orders:                              asked[:2],
		acmeAccount:                         nil,
		acme:                                nil,
		acme + "/accounts/nobody":           nil,
		orders + "/users/nobody":            asked[:2],
		"organizations/acme/members/ann":    nil,
		"organizations/acme/accounts/order": nil,
	} {
		got := must[*apiv1.TestPermissionsResponse](t, "test")(ann.access.TestPermissions(ctx, &apiv1.TestPermissionsRequest{Name: resource, Methods: asked})).GetMethods()
		if !slices.Equal(got, want) {
			t.Errorf("on %s: %v, want %v", resource, got, want)
		}
	}
	_, err := ann.access.TestPermissions(ctx, &apiv1.TestPermissionsRequest{Name: "organizations/globex"})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
	_, err = ann.access.TestPermissions(ctx, &apiv1.TestPermissionsRequest{Name: orders, Methods: []string{"AccountService/Steal"}})
	wantError(t, err, errs.Invalid, "UNKNOWN_METHOD")
	all := must[*apiv1.TestPermissionsResponse](t, "test")(owner.access.TestPermissions(ctx, &apiv1.TestPermissionsRequest{Name: acme})).GetMethods()
	if !slices.Contains(all, "AccountService/PurgeAccount") || slices.Contains(all, "OrganizationService/SignUp") {
		t.Errorf("an owner may %v", all)
	}
}

// A role on an account ends with the account, also where it is only offered:
// the next account of that name is another one.
func TestAPurgedAccountTakesItsRolesAlong(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	must[*apiv1.CreateAccountResponse](t, "create")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: acme, AccountId: "orders"}))
	const orders = acme + "/accounts/orders"
	narrow := &apiv1.RoleBinding{Role: "admin", Account: orders}
	name, _ := p.member(t, owner, "ann", narrow, &apiv1.RoleBinding{Role: "billing"})
	invited := must[*apiv1.CreateInvitationResponse](t, "invite")(owner.invitations.CreateInvitation(ctx, invitation("bob", narrow)))
	must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: orders}))
	must[*apiv1.PurgeAccountResponse](t, "purge")(owner.accounts.PurgeAccount(ctx, &apiv1.PurgeAccountRequest{Name: orders}))
	m := must[*apiv1.GetMemberResponse](t, "get")(owner.members.GetMember(ctx, &apiv1.GetMemberRequest{Name: name})).GetMember()
	if b := m.GetRoleBindings(); len(b) != 1 || b[0].GetRole() != "billing" {
		t.Errorf("the member has %v", b)
	}
	_, err := p.as(t, "").invitations.AcceptInvitation(ctx, &apiv1.AcceptInvitationRequest{Token: invited.GetToken()})
	wantError(t, err, errs.Precondition, "INVITATION_NOT_PENDING")
}
