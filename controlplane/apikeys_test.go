package controlplane_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/lifecycle"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const acmeOwner = "organizations/acme/serviceAccounts/owner"

// serviceAccount makes one with a key and returns its name, its key's name and
// who it is.
func (p *plane) serviceAccount(t *testing.T, by *caller, id string, bindings ...*apiv1.RoleBinding) (string, string, *caller) {
	t.Helper()
	sa := must[*apiv1.CreateServiceAccountResponse](t, "service account")(by.services.CreateServiceAccount(t.Context(), &apiv1.CreateServiceAccountRequest{
		Parent: "organizations/acme", ServiceAccountId: id, ServiceAccount: &apiv1.ServiceAccount{RoleBindings: bindings},
	})).GetServiceAccount()
	key := must[*apiv1.CreateAPIKeyResponse](t, "key")(by.keys.CreateAPIKey(t.Context(), &apiv1.CreateAPIKeyRequest{Parent: sa.GetName()}))
	return sa.GetName(), key.GetApiKey().GetName(), p.as(t, key.GetSecret())
}

func getOrg(t *testing.T, c *caller) error {
	t.Helper()
	_, err := c.orgs.GetOrganization(t.Context(), &apiv1.GetOrganizationRequest{Name: "organizations/acme"})
	return err
}

func TestApiKeyLife(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	sa, first, ci := p.serviceAccount(t, owner, "ci", &apiv1.RoleBinding{Role: "admin"})
	if err := getOrg(t, ci); err != nil {
		t.Fatal(err)
	}
	got := must[*apiv1.GetAPIKeyResponse](t, "get")(owner.keys.GetAPIKey(ctx, &apiv1.GetAPIKeyRequest{Name: first})).GetApiKey()
	if life := got.GetExpireTime().AsTime().Sub(got.GetCreateTime().AsTime()); life != 90*24*time.Hour || got.GetState() != apiv1.APIKey_STATE_ACTIVE {
		t.Errorf("a key lives %v by default: %v", life, got)
	}
	_, err := owner.keys.CreateAPIKey(ctx, &apiv1.CreateAPIKeyRequest{Parent: sa, TtlSeconds: 367 * 24 * 3600})
	wantError(t, err, errs.Invalid, "INVALID_FIELD")

	// Rotation: two live keys, no third; the old one ends with the overlap.
	req := &apiv1.RotateAPIKeyRequest{Name: first, TtlSeconds: 3600, RequestId: "rotate"}
	rotated := must[*apiv1.RotateAPIKeyResponse](t, "rotate")(owner.keys.RotateAPIKey(ctx, req))
	_, err = owner.keys.RotateAPIKey(ctx, req)
	wantError(t, err, errs.Precondition, "SECRET_ALREADY_DELIVERED")
	next := p.as(t, rotated.GetSecret())
	for name, c := range map[string]*caller{"old": ci, "new": next} {
		if err := getOrg(t, c); err != nil {
			t.Errorf("the %s key during the overlap: %v", name, err)
		}
	}
	if left := time.Until(rotated.GetRotated().GetExpireTime().AsTime()); left > 24*time.Hour || left < 23*time.Hour {
		t.Errorf("the old key lives another %v", left)
	}
	_, err = owner.keys.CreateAPIKey(ctx, &apiv1.CreateAPIKeyRequest{Parent: sa})
	wantError(t, err, errs.Exhausted, "API_KEY_QUOTA")
	must[*apiv1.DeleteAPIKeyResponse](t, "delete")(owner.keys.DeleteAPIKey(ctx, &apiv1.DeleteAPIKeyRequest{Name: first}))
	wantError(t, getOrg(t, ci), errs.Unauthenticated, "API_KEY_INVALID")

	// Emergency: no overlap.
	none := int64(0)
	last := must[*apiv1.RotateAPIKeyResponse](t, "rotate")(owner.keys.RotateAPIKey(ctx, &apiv1.RotateAPIKeyRequest{
		Name: rotated.GetApiKey().GetName(), OverlapSeconds: &none,
	}))
	wantError(t, getOrg(t, next), errs.Unauthenticated, "API_KEY_INVALID")
	if last.GetRotated().GetState() != apiv1.APIKey_STATE_EXPIRED {
		t.Errorf("rotated without overlap, the old key is %v", last.GetRotated())
	}
	newest := p.as(t, last.GetSecret())
	must[*apiv1.DisableAPIKeyResponse](t, "disable")(owner.keys.DisableAPIKey(ctx, &apiv1.DisableAPIKeyRequest{Name: last.GetApiKey().GetName()}))
	wantError(t, getOrg(t, newest), errs.Unauthenticated, "API_KEY_INVALID")
	must[*apiv1.EnableAPIKeyResponse](t, "enable")(owner.keys.EnableAPIKey(ctx, &apiv1.EnableAPIKeyRequest{Name: last.GetApiKey().GetName()}))
	if err := getOrg(t, newest); err != nil {
		t.Errorf("enabled again: %v", err)
	}
	all := must[*apiv1.ListAPIKeysResponse](t, "list")(owner.keys.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: "organizations/acme/serviceAccounts/-"}))
	one := must[*apiv1.ListAPIKeysResponse](t, "list")(owner.keys.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: sa, PageSize: 1}))
	if len(all.GetApiKeys()) != 3 || len(one.GetApiKeys()) != 1 || one.GetNextPageToken() == "" {
		t.Errorf("lists: %v and %v", all, one)
	}
	must[*apiv1.DeleteServiceAccountResponse](t, "delete")(owner.services.DeleteServiceAccount(ctx, &apiv1.DeleteServiceAccountRequest{Name: sa}))
	wantError(t, getOrg(t, newest), errs.Unauthenticated, "API_KEY_INVALID")
	for _, secret := range []string{rotated.GetSecret(), last.GetSecret()} {
		if strings.Contains(p.log.String(), secret[len(secret)-43:]) {
			t.Error("the log shows a secret")
		}
	}
}

// Nobody gives away more than it has, and no owner ends itself.
func TestAnOrganizationKeepsItsOwner(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	_, _, admin := p.serviceAccount(t, owner, "admin", &apiv1.RoleBinding{Role: "admin"})
	ownKey := must[*apiv1.ListAPIKeysResponse](t, "list")(owner.keys.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: acmeOwner})).GetApiKeys()[0]
	mask := func(path string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: []string{path}} }
	ownerBinding := []*apiv1.RoleBinding{{Role: "owner"}}
	for name, f := range map[string]func(c *caller) error{
		"make an owner": func(c *caller) error {
			_, err := c.services.CreateServiceAccount(ctx, &apiv1.CreateServiceAccountRequest{
				Parent: "organizations/acme", ServiceAccountId: "mine", ServiceAccount: &apiv1.ServiceAccount{RoleBindings: ownerBinding},
			})
			return err
		},
		"become an owner": func(c *caller) error {
			_, err := c.services.UpdateServiceAccount(ctx, &apiv1.UpdateServiceAccountRequest{
				ServiceAccount: &apiv1.ServiceAccount{Name: "organizations/acme/serviceAccounts/admin", RoleBindings: ownerBinding}, UpdateMask: mask("role_bindings"),
			})
			return err
		},
		"demote the owner": func(c *caller) error {
			_, err := c.services.UpdateServiceAccount(ctx, &apiv1.UpdateServiceAccountRequest{
				ServiceAccount: &apiv1.ServiceAccount{Name: acmeOwner}, UpdateMask: mask("role_bindings"),
			})
			return err
		},
		"take an owner's key": func(c *caller) error {
			_, err := c.keys.CreateAPIKey(ctx, &apiv1.CreateAPIKeyRequest{Parent: acmeOwner})
			return err
		},
		"rotate an owner's key": func(c *caller) error {
			_, err := c.keys.RotateAPIKey(ctx, &apiv1.RotateAPIKeyRequest{Name: ownKey.GetName()})
			return err
		},
		"disable an owner's key": func(c *caller) error {
			_, err := c.keys.DisableAPIKey(ctx, &apiv1.DisableAPIKeyRequest{Name: ownKey.GetName()})
			return err
		},
		"end the owner": func(c *caller) error {
			_, err := c.services.DeleteServiceAccount(ctx, &apiv1.DeleteServiceAccountRequest{Name: acmeOwner})
			return err
		},
	} {
		t.Run("an admin cannot "+name, func(t *testing.T) { wantError(t, f(admin), errs.Denied, "OWNER_ONLY") })
	}
	_, err := owner.services.DeleteServiceAccount(ctx, &apiv1.DeleteServiceAccountRequest{Name: acmeOwner})
	wantError(t, err, errs.Precondition, "OWN_SERVICE_ACCOUNT")
	_, err = owner.services.UpdateServiceAccount(ctx, &apiv1.UpdateServiceAccountRequest{
		ServiceAccount: &apiv1.ServiceAccount{Name: acmeOwner, Disabled: true}, UpdateMask: mask("disabled"),
	})
	wantError(t, err, errs.Precondition, "OWN_SERVICE_ACCOUNT")
	_, err = owner.keys.DeleteAPIKey(ctx, &apiv1.DeleteAPIKeyRequest{Name: ownKey.GetName()})
	wantError(t, err, errs.Precondition, "OWN_API_KEY")
	_, err = owner.keys.DisableAPIKey(ctx, &apiv1.DisableAPIKeyRequest{Name: ownKey.GetName()})
	wantError(t, err, errs.Precondition, "OWN_API_KEY")
	if err := getOrg(t, owner); err != nil {
		t.Errorf("the owner after all that: %v", err)
	}
}

func TestAKeyForOneAccountReachesOnlyThat(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	must[*apiv1.CreateAccountResponse](t, "create")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: "orders"}))
	const orders = "organizations/acme/accounts/orders"
	sa, _, ci := p.serviceAccount(t, owner, "ci", &apiv1.RoleBinding{Role: "developer", Account: orders})
	must[*apiv1.CreateUserResponse](t, "user")(ci.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: orders, UserId: "shop"}))
	issued := must[*apiv1.IssueCredentialResponse](t, "issue")(ci.credentials.IssueCredential(ctx, &apiv1.IssueCredentialRequest{Parent: orders + "/users/shop"}))
	op := must[*apiv1.RevokeCredentialResponse](t, "revoke")(ci.credentials.RevokeCredential(ctx, &apiv1.RevokeCredentialRequest{Name: issued.GetCredential().GetName()})).GetOperation()
	must[*apiv1.WaitOperationResponse](t, "wait")(ci.operations.WaitOperation(ctx, &apiv1.WaitOperationRequest{Name: op.GetName()}))

	_, err := ci.accounts.GetAccount(ctx, &apiv1.GetAccountRequest{Name: acmeAccount})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
	_, err = ci.accounts.SuspendAccount(ctx, &apiv1.SuspendAccountRequest{Name: orders})
	wantError(t, err, errs.Denied, "ROLE_DENIED")
	_, err = ci.accounts.ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: "organizations/acme"})
	wantError(t, err, errs.Denied, "ROLE_DENIED")
	foreign := must[*apiv1.SuspendAccountResponse](t, "suspend")(owner.accounts.SuspendAccount(ctx, &apiv1.SuspendAccountRequest{Name: acmeAccount})).GetOperation()
	_, err = ci.operations.GetOperation(ctx, &apiv1.GetOperationRequest{Name: foreign.GetName()})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")

	for _, bindings := range [][]*apiv1.RoleBinding{
		{{Role: "admin", Account: "organizations/acme/accounts/nobody"}}, {{Role: "admin", Account: "organizations/globex/accounts/default"}},
	} {
		_, err = owner.services.CreateServiceAccount(ctx, &apiv1.CreateServiceAccountRequest{
			Parent: "organizations/acme", ServiceAccountId: "other", ServiceAccount: &apiv1.ServiceAccount{RoleBindings: bindings},
		})
		wantError(t, err, errs.Precondition, "ACCOUNT_NOT_FOUND")
	}
	widened := must[*apiv1.UpdateServiceAccountResponse](t, "widen")(owner.services.UpdateServiceAccount(ctx, &apiv1.UpdateServiceAccountRequest{
		ServiceAccount: &apiv1.ServiceAccount{Name: sa, RoleBindings: []*apiv1.RoleBinding{{Role: "developer"}}},
		UpdateMask:     &fieldmaskpb.FieldMask{Paths: []string{"role_bindings"}},
	})).GetServiceAccount()
	got := must[*apiv1.GetServiceAccountResponse](t, "get")(owner.services.GetServiceAccount(ctx, &apiv1.GetServiceAccountRequest{Name: sa})).GetServiceAccount()
	if !proto.Equal(widened, got) {
		t.Errorf("updated %v\nread    %v", widened, got)
	}
	must[*apiv1.ListAccountsResponse](t, "list after widening")(ci.accounts.ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: "organizations/acme"}))
}

func TestTheLastUseOfAKeyIsKept(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	_, name, ci := p.serviceAccount(t, owner, "ci", &apiv1.RoleBinding{Role: "read-only"})
	get := func() *apiv1.APIKey {
		return must[*apiv1.GetAPIKeyResponse](t, "get")(owner.keys.GetAPIKey(t.Context(), &apiv1.GetAPIKeyRequest{Name: name})).GetApiKey()
	}
	before := get()
	if before.GetLastUsedTime() != nil {
		t.Errorf("a fresh key was used: %v", before)
	}
	if err := getOrg(t, ci); err != nil {
		t.Fatal(err)
	}
	backoff := lifecycle.Backoff{Min: time.Millisecond, Max: 100 * time.Millisecond}
	after := get()
	for ; after.GetLastUsedTime() == nil; after = get() {
		if err := backoff.Wait(t.Context()); err != nil {
			t.Fatal("the use was not kept")
		}
	}
	if after.GetEtag() != before.GetEtag() {
		t.Error("being used changes a key's etag")
	}
}
