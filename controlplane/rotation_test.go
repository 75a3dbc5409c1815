package controlplane_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const acmeRole = acmeAccount + "/roles/default"

func (c *caller) issue(t *testing.T, user string) *apiv1.IssueCredentialResponse {
	t.Helper()
	return must[*apiv1.IssueCredentialResponse](t, "issue")(c.credentials.IssueCredential(t.Context(), &apiv1.IssueCredentialRequest{Parent: user}))
}

// keysIn returns the public keys of a role that are in a state.
func keysIn(r *apiv1.Role, state apiv1.SigningKey_State) []string {
	var keys []string
	for _, k := range r.GetKeys() {
		if k.GetState() == state {
			keys = append(keys, k.GetPublicKey())
		}
	}
	return keys
}

// A client stays connected through a whole rotation, until the key that signed
// it is retired; and that is refused while it depends on the key.
func TestRotationKeepsClientsUntilRetire(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.judges(t, func(t *testing.T, j judge) {
		ctx := t.Context()
		old := owner.issue(t, acmeUser)
		before := j.mustConnect(t, old.GetCredsFile())

		staged := must[*apiv1.StageKeyResponse](t, "stage")(owner.roles.StageKey(ctx, &apiv1.StageKeyRequest{Name: acmeRole}))
		_, err := owner.roles.StageKey(ctx, &apiv1.StageKeyRequest{Name: acmeRole})
		wantError(t, err, errs.Precondition, "KEY_STAGED")
		j.settle(t, owner, acmeAccount, staged.GetOperation())
		before.wantAlive(t, "after staging")
		if got := owner.issue(t, acmeUser).GetCredential().GetIssuerKey(); got != old.GetCredential().GetIssuerKey() {
			t.Error("a staged key signs")
		}
		promoted := must[*apiv1.PromoteKeyResponse](t, "promote")(owner.roles.PromoteKey(ctx, &apiv1.PromoteKeyRequest{Name: acmeRole})).GetRole()
		if active := keysIn(promoted, apiv1.SigningKey_STATE_ACTIVE); len(active) != 1 || active[0] != keysIn(staged.GetRole(), apiv1.SigningKey_STATE_STAGED)[0] {
			t.Errorf("promoted, the keys are %v", promoted.GetKeys())
		}
		before.wantAlive(t, "after promoting")
		fresh := owner.issue(t, acmeUser)
		after := j.mustConnect(t, fresh.GetCredsFile())
		again := j.mustConnect(t, old.GetCredsFile())
		again.Close()

		retire := &apiv1.RetireKeyRequest{Name: acmeRole, PublicKey: old.GetCredential().GetIssuerKey()}
		_, err = owner.roles.RetireKey(ctx, retire)
		wantError(t, err, errs.Precondition, "KEY_IN_USE")
		before.wantAlive(t, "after a refused retirement")
		dependents := must[*apiv1.ListKeyDependentsResponse](t, "dependents")(owner.roles.ListKeyDependents(ctx, &apiv1.ListKeyDependentsRequest{
			Name: acmeRole, PublicKey: retire.GetPublicKey(),
		})).GetDependents()
		retire.Force = true
		retired := must[*apiv1.RetireKeyResponse](t, "retire")(owner.roles.RetireKey(ctx, retire))
		if len(dependents) < 2 || len(retired.GetDependents()) != len(dependents) || int(retired.GetDependentCount()) != len(dependents) {
			t.Errorf("forced, it names %v of %v", retired.GetDependents(), dependents)
		}
		j.settle(t, owner, acmeAccount, retired.GetOperation())
		before.wantGone(t, "after retirement")
		after.wantAlive(t, "after the other key's retirement")
		j.wantRefused(t, old.GetCredsFile(), "after retirement")
		for _, c := range must[*apiv1.ListCredentialsResponse](t, "list")(owner.credentials.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: acmeUser})).GetCredentials() {
			want := apiv1.Credential_STATE_ISSUER_RETIRED
			if c.GetName() == fresh.GetCredential().GetName() {
				want = apiv1.Credential_STATE_ACTIVE
			}
			if c.GetState() != want {
				t.Errorf("credential %s is %v, want %v", c.GetName(), c.GetState(), want)
			}
		}
	})
}

// What a leaked key signed is refused at once, and new credentials work.
func TestEmergencyRotationEndsAllThatWasSigned(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.judges(t, func(t *testing.T, j judge) {
		old := owner.issue(t, acmeUser)
		client := j.mustConnect(t, old.GetCredsFile())
		req := &apiv1.RotateKeyNowRequest{Name: acmeRole, ValidateOnly: true}
		preview := must[*apiv1.RotateKeyNowResponse](t, "preview")(owner.roles.RotateKeyNow(t.Context(), req))
		client.wantAlive(t, "after a preview")
		req.ValidateOnly = false
		rotated := must[*apiv1.RotateKeyNowResponse](t, "rotate")(owner.roles.RotateKeyNow(t.Context(), req))
		if preview.GetDependentCount() == 0 || preview.GetDependentCount() != rotated.GetDependentCount() {
			t.Errorf("previewed %d, then %d", preview.GetDependentCount(), rotated.GetDependentCount())
		}
		fresh := owner.issue(t, acmeUser)
		j.settle(t, owner, acmeAccount, rotated.GetOperation())
		client.wantGone(t, "after an emergency rotation")
		j.wantRefused(t, old.GetCredsFile(), "after an emergency rotation")
		j.mustConnect(t, fresh.GetCredsFile()).wantAlive(t, "with a new credential")
	})
}

// At least one key signs and at most one is staged, whatever is asked for.
func TestARoleAlwaysHasOneActiveKey(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	check := func(r *apiv1.Role) {
		t.Helper()
		if len(keysIn(r, apiv1.SigningKey_STATE_ACTIVE)) != 1 || len(keysIn(r, apiv1.SigningKey_STATE_STAGED)) > 1 {
			t.Errorf("keys are %v", r.GetKeys())
		}
	}
	_, err := owner.roles.PromoteKey(ctx, &apiv1.PromoteKeyRequest{Name: acmeRole})
	wantError(t, err, errs.Precondition, "NO_STAGED_KEY")
	role := must[*apiv1.GetRoleResponse](t, "get")(owner.roles.GetRole(ctx, &apiv1.GetRoleRequest{Name: acmeRole})).GetRole()
	_, err = owner.roles.RetireKey(ctx, &apiv1.RetireKeyRequest{Name: acmeRole, PublicKey: role.GetKeys()[0].GetPublicKey(), Force: true})
	wantError(t, err, errs.Precondition, "KEY_ACTIVE")
	for range 3 {
		check(must[*apiv1.StageKeyResponse](t, "stage")(owner.roles.StageKey(ctx, &apiv1.StageKeyRequest{Name: acmeRole})).GetRole())
		check(must[*apiv1.PromoteKeyResponse](t, "promote")(owner.roles.PromoteKey(ctx, &apiv1.PromoteKeyRequest{Name: acmeRole})).GetRole())
	}
	_, err = owner.roles.StageKey(ctx, &apiv1.StageKeyRequest{Name: acmeRole})
	wantError(t, err, errs.Exhausted, "SIGNING_KEY_QUOTA")
	for range 8 {
		role = must[*apiv1.RotateKeyNowResponse](t, "rotate")(owner.roles.RotateKeyNow(ctx, &apiv1.RotateKeyNowRequest{Name: acmeRole})).GetRole()
		check(role)
	}
	if len(role.GetKeys()) != 6 {
		t.Errorf("%d keys are listed after many rotations", len(role.GetKeys()))
	}
	gone := keysIn(role, apiv1.SigningKey_STATE_RETIRED)[0]
	_, err = owner.roles.RetireKey(ctx, &apiv1.RetireKeyRequest{Name: acmeRole, PublicKey: gone})
	wantError(t, err, errs.Precondition, "KEY_RETIRED")
}

// What a role allows reaches its users without new credentials, and its end
// ends what it signed.
func TestRoleLife(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	p.judges(t, func(t *testing.T, j judge) {
		created := must[*apiv1.CreateRoleResponse](t, "create")(owner.roles.CreateRole(ctx, &apiv1.CreateRoleRequest{
			Parent: acmeAccount, RoleId: "shop", Role: &apiv1.Role{
				MaxCredentialTtlSeconds: 3600, Permissions: &apiv1.Permissions{Publish: &apiv1.SubjectRules{Allow: []string{"orders.>"}}},
			},
		}))
		name := created.GetRole().GetName()
		got := must[*apiv1.GetRoleResponse](t, "get")(owner.roles.GetRole(ctx, &apiv1.GetRoleRequest{Name: name})).GetRole()
		if !proto.Equal(created.GetRole(), got) {
			t.Errorf("created %v\nread    %v", created.GetRole(), got)
		}
		_, err := owner.roles.CreateRole(ctx, &apiv1.CreateRoleRequest{Parent: acmeAccount, RoleId: "shop"})
		wantError(t, err, errs.Exists, "ROLE_EXISTS")
		user := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{
			Parent: acmeAccount, UserId: "shop", User: &apiv1.User{Role: "shop"},
		})).GetUser().GetName()
		_, err = owner.credentials.IssueCredential(ctx, &apiv1.IssueCredentialRequest{Parent: user, TtlSeconds: 3601})
		wantError(t, err, errs.Invalid, "INVALID_TTL")
		creds := owner.issue(t, user).GetCredsFile()
		j.settle(t, owner, acmeAccount, created.GetOperation())
		refusals := make(chan error, 16)
		client := j.mustConnect(t, creds)
		client.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refusals <- err })
		if err := client.Publish("other", nil); err != nil {
			t.Fatal(err)
		}
		client.wantAlive(t, "after a refused publish")
		<-refusals

		_, err = owner.roles.DeleteRole(ctx, &apiv1.DeleteRoleRequest{Name: name})
		wantError(t, err, errs.Precondition, "ROLE_IN_USE")
		_, err = owner.roles.DeleteRole(ctx, &apiv1.DeleteRoleRequest{Name: acmeRole})
		wantError(t, err, errs.Precondition, "DEFAULT_ROLE")
		renamed := must[*apiv1.UpdateRoleResponse](t, "rename")(owner.roles.UpdateRole(ctx, &apiv1.UpdateRoleRequest{
			Role: &apiv1.Role{Name: name, DisplayName: "Shop", Etag: got.GetEtag()}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
		}))
		if renamed.GetOperation() != nil || len(renamed.GetRole().GetPermissions().GetPublish().GetAllow()) != 1 {
			t.Errorf("a display name reaches the claims: %v", renamed)
		}
		widened := must[*apiv1.UpdateRoleResponse](t, "widen")(owner.roles.UpdateRole(ctx, &apiv1.UpdateRoleRequest{
			Role: &apiv1.Role{Name: name}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"permissions"}},
		}))
		j.settle(t, owner, acmeAccount, widened.GetOperation())
		wide := j.mustConnect(t, creds)
		wide.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("with the new permissions: %v", err)
			}
		})
		if err := wide.Publish("other", nil); err != nil {
			t.Fatal(err)
		}
		wide.wantAlive(t, "with the new permissions")

		must[*apiv1.DeleteUserResponse](t, "delete user")(owner.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: user}))
		deleted := must[*apiv1.DeleteRoleResponse](t, "delete role")(owner.roles.DeleteRole(ctx, &apiv1.DeleteRoleRequest{Name: name}))
		j.settle(t, owner, acmeAccount, deleted.GetOperation())
		wide.wantGone(t, "after the end of its role")
		_, err = owner.roles.GetRole(ctx, &apiv1.GetRoleRequest{Name: name})
		wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
	})
}
