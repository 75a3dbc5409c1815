package controlplane_test

import (
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// Delete stops and disconnects, undelete brings everything back, purge frees
// the name but never the key.
func TestAccountDeleteUndeletePurge(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.judges(t, func(t *testing.T, j judge) {
		ctx := t.Context()
		created := must[*apiv1.CreateAccountResponse](t, "create")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: "orders"}))
		name, key := created.GetAccount().GetName(), created.GetAccount().GetPublicKey()
		user := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: name, UserId: "shop"})).GetUser().GetName()
		creds := owner.issue(t, user).GetCredsFile()
		client := j.mustConnect(t, creds)
		_, err := owner.accounts.PurgeAccount(ctx, &apiv1.PurgeAccountRequest{Name: name})
		wantError(t, err, errs.Precondition, "ACCOUNT_NOT_DELETED")

		deleted := must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: name}))
		acc := deleted.GetAccount()
		if acc.GetState() != apiv1.Account_STATE_DELETED || acc.GetPurgeTime().AsTime().Sub(acc.GetDeleteTime().AsTime()) != 7*24*time.Hour {
			t.Errorf("deleted, it is %v", acc)
		}
		j.settle(t, owner, name, deleted.GetOperation())
		client.wantGone(t, "after deletion")
		j.wantRefused(t, creds, "after deletion")
		for what, do := range map[string]func() error{
			"delete": func() error {
				_, err := owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: name})
				return err
			},
			"resume": func() error {
				_, err := owner.accounts.ResumeAccount(ctx, &apiv1.ResumeAccountRequest{Name: name})
				return err
			},
			"user": func() error {
				_, err := owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: name, UserId: "new"})
				return err
			},
			"issue": func() error {
				_, err := owner.credentials.IssueCredential(ctx, &apiv1.IssueCredentialRequest{Parent: user})
				return err
			},
			"role": func() error {
				_, err := owner.roles.CreateRole(ctx, &apiv1.CreateRoleRequest{Parent: name, RoleId: "new"})
				return err
			},
			"stage": func() error {
				_, err := owner.roles.StageKey(ctx, &apiv1.StageKeyRequest{Name: name + "/roles/default"})
				return err
			},
		} {
			t.Run(what+" while deleted", func(t *testing.T) { wantError(t, do(), errs.Precondition, "ACCOUNT_DELETED") })
		}
		_, err = owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: "orders"})
		wantError(t, err, errs.Exists, "ACCOUNT_EXISTS")
		for _, show := range []bool{false, true} {
			list := must[*apiv1.ListAccountsResponse](t, "list")(owner.accounts.ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: "organizations/acme", ShowDeleted: show}))
			if got := len(list.GetAccounts()) == 2; got != show {
				t.Errorf("show_deleted %v lists %v", show, list.GetAccounts())
			}
		}

		undeleted := must[*apiv1.UndeleteAccountResponse](t, "undelete")(owner.accounts.UndeleteAccount(ctx, &apiv1.UndeleteAccountRequest{Name: name}))
		want := proto.CloneOf(created.GetAccount())
		want.Etag, want.UpdateTime, want.Revision = undeleted.GetAccount().GetEtag(), undeleted.GetAccount().GetUpdateTime(), undeleted.GetAccount().GetRevision()
		if !proto.Equal(want, undeleted.GetAccount()) {
			t.Errorf("created   %v\nundeleted %v", created.GetAccount(), undeleted.GetAccount())
		}
		j.settle(t, owner, name, undeleted.GetOperation())
		j.mustConnect(t, creds).wantAlive(t, "undeleted")

		narrow, _, _ := p.serviceAccount(t, owner, "ci", &apiv1.RoleBinding{Role: "admin", Account: name})
		deleted = must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: name}))
		j.settle(t, owner, name, deleted.GetOperation())
		must[*apiv1.PurgeAccountResponse](t, "purge")(owner.accounts.PurgeAccount(ctx, &apiv1.PurgeAccountRequest{Name: name}))
		_, err = owner.accounts.GetAccount(ctx, &apiv1.GetAccountRequest{Name: name})
		wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
		sa := must[*apiv1.GetServiceAccountResponse](t, "get")(owner.services.GetServiceAccount(ctx, &apiv1.GetServiceAccountRequest{Name: narrow})).GetServiceAccount()
		if len(sa.GetRoleBindings()) != 0 {
			t.Errorf("roles on a purged account stay: %v", sa.GetRoleBindings())
		}
		must[*apiv1.DeleteServiceAccountResponse](t, "delete")(owner.services.DeleteServiceAccount(ctx, &apiv1.DeleteServiceAccountRequest{Name: narrow}))
		again := must[*apiv1.CreateAccountResponse](t, "create again")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: "orders"}))
		if again.GetAccount().GetPublicKey() == key || again.GetAccount().GetUid() == created.GetAccount().GetUid() {
			t.Error("a purged account's key or uid is used again")
		}
		j.wantRefused(t, creds, "under the name's next account")
		must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: name}))
		must[*apiv1.PurgeAccountResponse](t, "purge")(owner.accounts.PurgeAccount(ctx, &apiv1.PurgeAccountRequest{Name: name}))
	})
}

// Suspending a user refuses its credentials, and only until it resumes; what
// was revoked stays so.
func TestUserSuspendResume(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.judges(t, func(t *testing.T, j judge) {
		ctx := t.Context()
		bystander := j.mustConnect(t, owner.issue(t, acmeUser).GetCredsFile())
		user := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: "shop"})).GetUser().GetName()
		good, bad := owner.issue(t, user), owner.issue(t, user)
		must[*apiv1.RevokeCredentialResponse](t, "revoke")(owner.credentials.RevokeCredential(ctx, &apiv1.RevokeCredentialRequest{Name: bad.GetCredential().GetName()}))
		client := j.mustConnect(t, good.GetCredsFile())

		suspended := must[*apiv1.SuspendUserResponse](t, "suspend")(owner.users.SuspendUser(ctx, &apiv1.SuspendUserRequest{Name: user, Reason: "test"}))
		if suspended.GetUser().GetState() != apiv1.User_STATE_SUSPENDED {
			t.Errorf("suspended, it is %v", suspended.GetUser())
		}
		j.settle(t, owner, acmeAccount, suspended.GetOperation())
		client.wantGone(t, "after suspension")
		j.wantRefused(t, good.GetCredsFile(), "after suspension")
		bystander.wantAlive(t, "after another user's suspension")
		_, err := owner.credentials.IssueCredential(ctx, &apiv1.IssueCredentialRequest{Parent: user})
		wantError(t, err, errs.Precondition, "USER_SUSPENDED")

		resumed := must[*apiv1.ResumeUserResponse](t, "resume")(owner.users.ResumeUser(ctx, &apiv1.ResumeUserRequest{Name: user}))
		j.settle(t, owner, acmeAccount, resumed.GetOperation())
		j.mustConnect(t, good.GetCredsFile()).wantAlive(t, "resumed")
		j.wantRefused(t, bad.GetCredsFile(), "revoked before the suspension")

		must[*apiv1.SuspendUserResponse](t, "suspend")(owner.users.SuspendUser(ctx, &apiv1.SuspendUserRequest{Name: user}))
		deleted := must[*apiv1.DeleteUserResponse](t, "delete")(owner.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: user}))
		j.settle(t, owner, acmeAccount, deleted.GetOperation())
		j.wantRefused(t, good.GetCredsFile(), "after its user's end")
	})
}

// What a user may do changes with its credentials: old ones would carry the old
// rights.
func TestUserUpdateRevokesWhatCarriesOldRights(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.judges(t, func(t *testing.T, j judge) {
		ctx := t.Context()
		user := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: "shop"})).GetUser()
		creds := owner.issue(t, user.GetName()).GetCredsFile()
		client := j.mustConnect(t, creds)
		narrow := &apiv1.User{Name: user.GetName(), DisplayName: "Shop", Permissions: &apiv1.Permissions{Publish: &apiv1.SubjectRules{Allow: []string{"orders.>"}}}}
		mask := func(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

		renamed := must[*apiv1.UpdateUserResponse](t, "rename")(owner.users.UpdateUser(ctx, &apiv1.UpdateUserRequest{User: narrow, UpdateMask: mask("display_name")}))
		if renamed.GetOperation() != nil || renamed.GetUser().GetRole() != "default" || renamed.GetUser().GetDisplayName() != "Shop" {
			t.Errorf("renamed: %v", renamed)
		}
		_, err := owner.users.UpdateUser(ctx, &apiv1.UpdateUserRequest{User: &apiv1.User{Name: user.GetName(), Role: "nobody"}, UpdateMask: mask("role")})
		wantError(t, err, errs.Precondition, "ROLE_NOT_FOUND")
		req := &apiv1.UpdateUserRequest{User: narrow, UpdateMask: mask("permissions"), ValidateOnly: true}
		preview := must[*apiv1.UpdateUserResponse](t, "preview")(owner.users.UpdateUser(ctx, req))
		client.wantAlive(t, "after a preview")
		req.ValidateOnly = false
		updated := must[*apiv1.UpdateUserResponse](t, "narrow")(owner.users.UpdateUser(ctx, req))
		if preview.GetRevokedCredentials() != 1 || updated.GetRevokedCredentials() != 1 || updated.GetUser().GetRole() != "" {
			t.Errorf("previewed %v\nupdated %v", preview, updated)
		}
		j.settle(t, owner, acmeAccount, updated.GetOperation())
		client.wantGone(t, "with old rights")
		j.wantRefused(t, creds, "with old rights")
		fresh := owner.issue(t, user.GetName()).GetCredsFile()
		j.mustConnect(t, fresh).wantAlive(t, "with new rights")
		kept := must[*apiv1.UpdateUserResponse](t, "widen")(owner.users.UpdateUser(ctx, &apiv1.UpdateUserRequest{
			User: &apiv1.User{Name: user.GetName(), Role: "default"}, UpdateMask: mask("role"), KeepCredentials: true,
		}))
		if kept.GetOperation() != nil || kept.GetUser().GetPermissions() != nil {
			t.Errorf("keeping credentials: %v", kept)
		}
		j.mustConnect(t, fresh).wantAlive(t, "kept")
		must[*apiv1.DeleteUserResponse](t, "delete")(owner.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: user.GetName()}))
	})
}

// Renewing keeps the key, needs no seed, and moves a credential to the key that
// signs now; revoking it ends both.
func TestRenewCredential(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.judges(t, func(t *testing.T, j judge) {
		ctx := t.Context()
		user := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: "shop"})).GetUser().GetName()
		old := owner.issue(t, user)
		_, seed, err := accounts.ParseCreds([]byte(old.GetCredsFile()))
		if err != nil {
			t.Fatal(err)
		}
		staged := must[*apiv1.StageKeyResponse](t, "stage")(owner.roles.StageKey(ctx, &apiv1.StageKeyRequest{Name: acmeRole}))
		j.mustConnect(t, old.GetCredsFile())
		j.settle(t, owner, acmeAccount, staged.GetOperation())
		must[*apiv1.PromoteKeyResponse](t, "promote")(owner.roles.PromoteKey(ctx, &apiv1.PromoteKeyRequest{Name: acmeRole}))
		renewed := must[*apiv1.RenewCredentialResponse](t, "renew")(owner.credentials.RenewCredential(ctx, &apiv1.RenewCredentialRequest{
			Name: old.GetCredential().GetName(), TtlSeconds: 3600,
		}))
		claims, err := jwt.DecodeUserClaims(renewed.GetJwt())
		if err != nil || claims.Subject != old.GetCredential().GetPublicKey() || claims.Issuer == old.GetCredential().GetIssuerKey() {
			t.Errorf("renewed claims %+v, %v", claims, err)
		}
		list := must[*apiv1.ListCredentialsResponse](t, "list")(owner.credentials.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: user})).GetCredentials()
		if len(list) != 2 || list[0].GetState() != apiv1.Credential_STATE_ACTIVE || list[1].GetState() != apiv1.Credential_STATE_SUPERSEDED {
			t.Errorf("credentials are %v", list)
		}
		dependents := must[*apiv1.ListKeyDependentsResponse](t, "dependents")(owner.roles.ListKeyDependents(ctx, &apiv1.ListKeyDependentsRequest{
			Name: acmeRole, PublicKey: old.GetCredential().GetIssuerKey(),
		})).GetDependents()
		for _, d := range dependents {
			if d.GetCredential() == old.GetCredential().GetName() {
				t.Error("a renewed credential depends on its old key")
			}
		}
		text, err := accounts.FormatCreds(renewed.GetJwt(), seed)
		if err != nil {
			t.Fatal(err)
		}
		clients := []*client{j.mustConnect(t, text), j.mustConnect(t, old.GetCredsFile())}
		revoked := must[*apiv1.RevokeCredentialResponse](t, "revoke")(owner.credentials.RevokeCredential(ctx, &apiv1.RevokeCredentialRequest{Name: renewed.GetCredential().GetName()}))
		j.settle(t, owner, acmeAccount, revoked.GetOperation())
		for _, c := range clients {
			c.wantGone(t, "after revocation")
		}
		_, err = owner.credentials.RenewCredential(ctx, &apiv1.RenewCredentialRequest{Name: old.GetCredential().GetName()})
		wantError(t, err, errs.Precondition, "CREDENTIAL_REVOKED")
		must[*apiv1.DeleteUserResponse](t, "delete")(owner.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: user}))
	})
}
