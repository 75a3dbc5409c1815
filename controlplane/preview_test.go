package controlplane_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/netsim"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testpostgres"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// crowd is acme with clients of several users and accounts at two brokers: three
// of the first user, by two credentials, three of the user shop, which has
// permissions of its own, and one of another account.
type crowd struct {
	*plane
	owner   *caller
	j       judge
	second  *apiv1.IssueCredentialResponse // of the first user, with one client
	shop    string
	ofShop  []*client
	others  []*client
	account string // the other one
}

func crowded(t *testing.T, p *plane, first, second judge) *crowd {
	t.Helper()
	signed, owner := p.signUp(t, "acme")
	ctx := t.Context()
	c := &crowd{plane: p, owner: owner, j: first, shop: acmeAccount + "/users/shop"}
	must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{
		Parent: acmeAccount, UserId: "shop", User: &apiv1.User{Permissions: &apiv1.Permissions{Publish: &apiv1.SubjectRules{Allow: []string{"a", "b"}}}},
	}))
	c.account = must[*apiv1.CreateAccountResponse](t, "account")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{
		Parent: "organizations/acme", AccountId: "orders",
	})).GetAccount().GetName()
	other := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: c.account, UserId: "clerk"})).GetUser().GetName()
	c.second = owner.issue(t, acmeUser)
	shop, clerk := owner.issue(t, c.shop), owner.issue(t, other)
	connect := func(at judge, creds string) (out *client) {
		t.Helper()
		eventually(t, func() bool {
			var err error
			out, err = at.connect(t, creds)
			return err == nil
		})
		return out
	}
	c.others = []*client{
		connect(first, signed.GetCredsFile()), connect(second, signed.GetCredsFile()), connect(second, c.second.GetCredsFile()), connect(second, clerk.GetCredsFile()),
	}
	for range 3 {
		c.ofShop = append(c.ofShop, connect(first, shop.GetCredsFile()))
	}
	return c
}

// impactOf is the impact of a dry run, in one line.
func impactOf[R interface{ GetImpact() *apiv1.Impact }](t *testing.T, what string) func(R, error) string {
	t.Helper()
	return func(r R, err error) string {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return ""
		}
		return shortImpact(r.GetImpact())
	}
}

// Every change that ends connections or credentials counts just those before, and
// then ends them.
func TestEachPreviewCountsWhatTheChangeEnds(t *testing.T) {
	p := start(t, t.TempDir())
	c := crowded(t, p, p.broker(t), p.broker(t))
	ctx, owner := t.Context(), c.owner
	staff := p.granter(t)
	want := func(what, got, impact string) {
		t.Helper()
		if got != impact {
			t.Errorf("%s: %s, want %s", what, got, impact)
		}
	}
	const dry = true
	// The brokers carry a service between accounts: they are no clients of it.
	owner.export(t, c.account, "answers", "answers", apiv1.Export_TYPE_SERVICE, apiv1.Export_AUDIENCE_ORGANIZATION)
	shared := must[*apiv1.CreateImportResponse](t, "import")(owner.imports.CreateImport(ctx, &apiv1.CreateImportRequest{
		Parent: acmeAccount, ImportId: "answers", Import: &apiv1.Import{Source: c.account + "/exports/answers"},
	}))
	c.j.settle(t, owner, acmeAccount, shared.GetOperation())
	rules := &apiv1.User{Name: c.shop, Permissions: &apiv1.Permissions{Publish: &apiv1.SubjectRules{Allow: []string{"a"}}}}
	update := &apiv1.UpdateUserRequest{User: rules, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"permissions"}}, ValidateOnly: dry}
	want("suspend a user", impactOf[*apiv1.SuspendUserResponse](t, "suspend")(owner.users.SuspendUser(ctx, &apiv1.SuspendUserRequest{Name: acmeUser, ValidateOnly: dry})),
		"3 connections at 2 brokers, 2 credentials")
	want("delete a user", impactOf[*apiv1.DeleteUserResponse](t, "delete")(owner.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: c.shop, ValidateOnly: dry})),
		"3 connections at 2 brokers, 1 credentials")
	want("change a user", impactOf[*apiv1.UpdateUserResponse](t, "update")(owner.users.UpdateUser(ctx, update)), "3 connections at 2 brokers, 1 credentials")
	update.KeepCredentials = true
	want("change a user, and keep its credentials", impactOf[*apiv1.UpdateUserResponse](t, "update")(owner.users.UpdateUser(ctx, update)), "0 connections at 0 brokers, 0 credentials")
	want("revoke", impactOf[*apiv1.RevokeCredentialResponse](t, "revoke")(owner.credentials.RevokeCredential(ctx, &apiv1.RevokeCredentialRequest{
		Name: c.second.GetCredential().GetName(), ValidateOnly: dry,
	})), "1 connections at 2 brokers, 1 credentials")
	want("revoke and change several", impactOf[*apiv1.BatchRevokeCredentialsResponse](t, "revoke")(owner.credentials.BatchRevokeCredentials(ctx, &apiv1.BatchRevokeCredentialsRequest{
		Parent: acmeAccount, Requests: []*apiv1.RevokeCredentialRequest{{Name: c.second.GetCredential().GetName()}}, ValidateOnly: dry,
	}))+"; "+impactOf[*apiv1.BatchUpdateUsersResponse](t, "update")(owner.users.BatchUpdateUsers(ctx, &apiv1.BatchUpdateUsersRequest{
		Parent: acmeAccount, Requests: []*apiv1.UpdateUserRequest{{User: rules, UpdateMask: masked("permissions")}}, ValidateOnly: dry,
	})), "1 connections at 2 brokers, 1 credentials; 3 connections at 2 brokers, 1 credentials")
	want("rotate a leaked key", impactOf[*apiv1.RotateKeyNowResponse](t, "rotate")(owner.roles.RotateKeyNow(ctx, &apiv1.RotateKeyNowRequest{Name: acmeRole, ValidateOnly: dry})),
		"3 connections at 2 brokers, 2 credentials")
	want("suspend an account", impactOf[*apiv1.SuspendAccountResponse](t, "suspend")(owner.accounts.SuspendAccount(ctx, &apiv1.SuspendAccountRequest{Name: acmeAccount, ValidateOnly: dry})),
		"6 connections at 2 brokers, 3 credentials")
	want("delete an account", impactOf[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: c.account, ValidateOnly: dry})),
		"1 connections at 2 brokers, 1 credentials")
	one := func(account string, n int64) *apiv1.UpdateAccountRequest {
		return &apiv1.UpdateAccountRequest{
			Account:    &apiv1.Account{Name: account, Limits: &apiv1.Limits{Connections: proto.Int64(n)}},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"limits.connections"}},
		}
	}
	want("lower limits", impactOf[*apiv1.BatchUpdateAccountsResponse](t, "limits")(owner.accounts.BatchUpdateAccounts(ctx, &apiv1.BatchUpdateAccountsRequest{
		Parent: "organizations/acme", Requests: []*apiv1.UpdateAccountRequest{one(acmeAccount, 2), one(c.account, 0)}, RequestId: "dry", ValidateOnly: dry,
	})), "5 connections at 2 brokers, 0 credentials, 4 of default, 1 of orders")
	want("suspend an organization", impactOf[*adminv1.SuspendOrganizationResponse](t, "suspend")(staff.orgs.SuspendOrganization(ctx, &adminv1.SuspendOrganizationRequest{
		Name: "organizations/acme", Reason: "test", ValidateOnly: dry,
	})), "7 connections at 2 brokers, 4 credentials, 6 of default, 1 of orders")
	want("close an organization", impactOf[*apiv1.CloseOrganizationResponse](t, "close")(owner.orgs.CloseOrganization(ctx, &apiv1.CloseOrganizationRequest{
		Name: "organizations/acme", ValidateOnly: dry,
	})), "7 connections at 2 brokers, 4 credentials, 6 of default, 1 of orders")
	small := starter()
	small.AccountLimits, small.Totals, small.Shared = &apiv1.Limits{Connections: proto.Int64(1)}, nil, nil
	must[*adminv1.CreatePlanResponse](t, "plan")(staff.plans.CreatePlan(ctx, &adminv1.CreatePlanRequest{PlanId: "small", Plan: small}))
	want("another plan", impactOf[*adminv1.AssignPlanResponse](t, "assign")(staff.plans.AssignPlan(ctx, &adminv1.AssignPlanRequest{
		Name: "organizations/acme", Plan: "plans/small", ValidateOnly: dry,
	})), "5 connections at 2 brokers, 0 credentials, 5 of default")
	want("an override", impactOf[*adminv1.SetQuotaOverrideResponse](t, "override")(staff.plans.SetQuotaOverride(ctx, &adminv1.SetQuotaOverrideRequest{
		Name: acmeAccount + "/quotaOverrides/connections", Value: &apiv1.Quota{Amount: 4}, Reason: "test", ValidateOnly: dry,
	})), "2 connections at 2 brokers, 0 credentials")
	for _, cl := range append(c.others, c.ofShop...) {
		cl.wantAlive(t, "after previews")
	}

	done := must[*apiv1.DeleteUserResponse](t, "delete")(owner.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: c.shop}))
	if done.GetImpact() != nil {
		t.Errorf("a change that is made has a preview: %v", done.GetImpact())
	}
	c.j.settle(t, owner, acmeAccount, done.GetOperation())
	for _, cl := range c.ofShop {
		cl.wantGone(t, "deleted")
	}
	for _, cl := range c.others {
		cl.wantAlive(t, "of somebody else")
	}
}

// API keys are counted where they would no longer be accepted.
func TestPreviewsNameAPIKeys(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	ci := "organizations/acme/serviceAccounts/ci"
	must[*apiv1.CreateServiceAccountResponse](t, "make")(owner.services.CreateServiceAccount(ctx, &apiv1.CreateServiceAccountRequest{
		Parent: "organizations/acme", ServiceAccountId: "ci", ServiceAccount: &apiv1.ServiceAccount{RoleBindings: []*apiv1.RoleBinding{{Role: "read-only"}}},
	}))
	var keys []string
	newKey := func() {
		keys = append(keys, must[*apiv1.CreateAPIKeyResponse](t, "key")(owner.keys.CreateAPIKey(ctx, &apiv1.CreateAPIKeyRequest{Parent: ci})).GetApiKey().GetName())
	}
	newKey()
	rotate := &apiv1.RotateAPIKeyRequest{Name: keys[0], ValidateOnly: true}
	later := impactOf[*apiv1.RotateAPIKeyResponse](t, "rotate")(owner.keys.RotateAPIKey(ctx, rotate))
	rotate.OverlapSeconds = proto.Int64(0)
	atOnce := impactOf[*apiv1.RotateAPIKeyResponse](t, "rotate")(owner.keys.RotateAPIKey(ctx, rotate))
	newKey()
	must[*apiv1.DisableAPIKeyResponse](t, "disable")(owner.keys.DisableAPIKey(ctx, &apiv1.DisableAPIKeyRequest{Name: keys[1]}))
	mask := &fieldmaskpb.FieldMask{Paths: []string{"disabled"}}
	for what, tc := range map[string]struct {
		got, want string
	}{
		"disable the first": {impactOf[*apiv1.DisableAPIKeyResponse](t, "disable")(owner.keys.DisableAPIKey(ctx, &apiv1.DisableAPIKeyRequest{Name: keys[0], ValidateOnly: true})), ", 1 API keys"},
		"delete the second": {impactOf[*apiv1.DeleteAPIKeyResponse](t, "delete")(owner.keys.DeleteAPIKey(ctx, &apiv1.DeleteAPIKeyRequest{Name: keys[1], ValidateOnly: true})), ""},
		"rotate at once":    {atOnce, ", 1 API keys"},
		"rotate":            {later, ""},
		"delete both": {impactOf[*apiv1.DeleteServiceAccountResponse](t, "delete")(owner.services.DeleteServiceAccount(ctx, &apiv1.DeleteServiceAccountRequest{
			Name: ci, ValidateOnly: true,
		})), ", 1 API keys"},
		"disable both": {impactOf[*apiv1.UpdateServiceAccountResponse](t, "disable")(owner.services.UpdateServiceAccount(ctx, &apiv1.UpdateServiceAccountRequest{
			ServiceAccount: &apiv1.ServiceAccount{Name: ci, Disabled: true}, UpdateMask: mask, ValidateOnly: true,
		})), ", 1 API keys"},
	} {
		if want := "0 connections at 0 brokers, 0 credentials" + tc.want; tc.got != want {
			t.Errorf("%s: %s, want %s", what, tc.got, want)
		}
	}
}

// A broker that does not answer is named, whether it only just went quiet or has
// lost its lease; what it has is not guessed.
func TestAPreviewNamesTheBrokerThatIsMissing(t *testing.T) {
	p := start(t, t.TempDir())
	link, err := netsim.Listen(p.FleetAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() })
	c := crowded(t, p, p.broker(t), p.brokerAt(t, "far-away", link.Addr()))
	ask := func() string {
		t.Helper()
		return impactOf[*apiv1.SuspendAccountResponse](t, "suspend")(c.owner.accounts.SuspendAccount(t.Context(), &apiv1.SuspendAccountRequest{Name: acmeAccount, ValidateOnly: true}))
	}
	if got := ask(); got != "6 connections at 2 brokers, 3 credentials" {
		t.Errorf("with both: %s", got)
	}
	cut := netsim.Path{Cut: true}
	link.Set(netsim.Faults{Refuse: true, Out: cut, Back: cut})
	if got := ask(); got != "4 connections at 1 brokers, 3 credentials, without far-away: it did not answer in time" {
		t.Errorf("with one that is quiet: %s", got)
	}
	link.Sever()
	eventually(t, func() bool {
		return ask() == "4 connections at 1 brokers, 3 credentials, without far-away: it is out of reach, and may have clients"
	})
	for _, cl := range c.others {
		cl.wantAlive(t, "whatever the control plane sees")
	}
	link.Set(netsim.Faults{})
	eventually(t, func() bool { return ask() == "6 connections at 2 brokers, 3 credentials" })
}

// Whichever control plane is asked, all brokers answer, wherever they attend.
func TestPreviewsAreTheSameFromEveryControlPlane(t *testing.T) {
	postgres := testpostgres.Start(t)
	c := testetcd.NewCluster(t, 1, testetcd.Options{})
	url := postgres.Database(t)
	first := t.TempDir()
	one := start(t, first, onCluster(c), onPostgres(url))
	two := start(t, joining(t, first), onCluster(c), onPostgres(url))
	two.key = one.key
	there := crowded(t, one, one.broker(t), two.broker(t))
	for name, p := range map[string]*plane{"one": one, "two": two} {
		staff := p.granter(t)
		got := impactOf[*adminv1.SuspendOrganizationResponse](t, name)(staff.orgs.SuspendOrganization(t.Context(), &adminv1.SuspendOrganizationRequest{
			Name: "organizations/acme", Reason: "test", ValidateOnly: true,
		}))
		if got != "7 connections at 2 brokers, 4 credentials, 6 of default, 1 of orders" {
			t.Errorf("%s says %s", name, got)
		}
	}
	for _, cl := range there.others {
		cl.wantAlive(t, "after previews")
	}
}
