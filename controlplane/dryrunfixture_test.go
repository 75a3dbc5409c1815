package controlplane_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/nats-io/nkeys"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func masked(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

// tries makes one of everything, and a dry run of every method that can be carried
// out on it.
func (p *plane) tries(t *testing.T, idp *issuer) map[string]try {
	t.Helper()
	signed, owner := p.signUp(t, "acme")
	_, theirs := p.signUp(t, "globex")
	staff := p.granter(t)
	out := map[string]try{}
	add := func(by *caller, service, method string, req proto.Message, refused string) {
		out["/covey."+service+"/"+method] = try{by, req, refused}
	}
	p.triesOfAccounts(t, owner, add)
	p.triesOfUsers(t, owner, signed.GetCredential().GetName(), add)
	p.triesOfPeople(t, owner, add)
	p.triesOfSharing(t, owner, theirs, add)
	p.triesOfFederation(t, owner, idp, add)
	p.triesOfPlans(t, staff, add)
	p.triesOfAlerts(t, owner, add)
	p.triesOfStaff(t, staff, signed.GetCredsFile(), add)
	return out
}

type adder func(by *caller, service, method string, req proto.Message, refused string)

func (p *plane) triesOfAccounts(t *testing.T, owner *caller, add adder) {
	t.Helper()
	const s = "api.v1.AccountService"
	ctx := t.Context()
	gone, _ := owner.newAccount(t, acme, "gone")
	must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: gone}))
	still, _ := owner.newAccount(t, acme, "still")
	must[*apiv1.SuspendAccountResponse](t, "suspend")(owner.accounts.SuspendAccount(ctx, &apiv1.SuspendAccountRequest{Name: still}))
	lower := &apiv1.Account{Name: acmeAccount, Limits: &apiv1.Limits{Connections: proto.Int64(1)}}
	add(owner, s, "CreateAccount", &apiv1.CreateAccountRequest{Parent: acme, AccountId: "fresh"}, "")
	add(owner, s, "BatchCreateAccounts", &apiv1.BatchCreateAccountsRequest{Parent: acme, Accounts: []*apiv1.NewAccount{{AccountId: "fresh"}}, RequestId: "batch"}, "")
	add(owner, s, "UpdateAccount", &apiv1.UpdateAccountRequest{Account: lower, UpdateMask: masked("limits")}, "")
	add(owner, s, "BatchUpdateAccounts", &apiv1.BatchUpdateAccountsRequest{
		Parent: acme, Requests: []*apiv1.UpdateAccountRequest{{Account: lower, UpdateMask: masked("limits")}}, RequestId: "batch",
	}, "")
	add(owner, s, "SuspendAccount", &apiv1.SuspendAccountRequest{Name: acmeAccount}, "")
	add(owner, s, "ResumeAccount", &apiv1.ResumeAccountRequest{Name: still}, "")
	add(owner, s, "DeleteAccount", &apiv1.DeleteAccountRequest{Name: acmeAccount}, "")
	add(owner, s, "UndeleteAccount", &apiv1.UndeleteAccountRequest{Name: gone}, "")
	add(owner, s, "PurgeAccount", &apiv1.PurgeAccountRequest{Name: gone}, "")
	add(owner, s, "ExportAccount", &apiv1.ExportAccountRequest{Name: acmeAccount}, "")
}

func (p *plane) triesOfUsers(t *testing.T, owner *caller, credential string, add adder) {
	t.Helper()
	const users, creds, roles = "api.v1.UserService", "api.v1.CredentialService", "api.v1.RoleService"
	ctx := t.Context()
	rotating, unused := acmeAccount+"/roles/rotating", acmeAccount+"/roles/unused"
	for _, id := range []string{"rotating", "unused"} {
		must[*apiv1.CreateRoleResponse](t, "role")(owner.roles.CreateRole(ctx, &apiv1.CreateRoleRequest{Parent: acmeAccount, RoleId: id}))
	}
	staged := must[*apiv1.StageKeyResponse](t, "stage")(owner.roles.StageKey(ctx, &apiv1.StageKeyRequest{Name: rotating}))
	key := keysIn(staged.GetRole(), apiv1.SigningKey_STATE_STAGED)[0]
	add(owner, roles, "CreateRole", &apiv1.CreateRoleRequest{Parent: acmeAccount, RoleId: "fresh"}, "")
	add(owner, roles, "UpdateRole", &apiv1.UpdateRoleRequest{Role: &apiv1.Role{Name: unused, DisplayName: "x"}, UpdateMask: masked("display_name")}, "")
	add(owner, roles, "DeleteRole", &apiv1.DeleteRoleRequest{Name: unused}, "")
	add(owner, roles, "StageKey", &apiv1.StageKeyRequest{Name: unused}, "")
	add(owner, roles, "PromoteKey", &apiv1.PromoteKeyRequest{Name: rotating}, "")
	add(owner, roles, "RetireKey", &apiv1.RetireKeyRequest{Name: rotating, PublicKey: key}, "")
	add(owner, roles, "RotateKeyNow", &apiv1.RotateKeyNowRequest{Name: acmeRole}, "")

	rules := &apiv1.User{Name: acmeUser, Permissions: &apiv1.Permissions{Publish: &apiv1.SubjectRules{Allow: []string{"a"}}}}
	add(owner, users, "CreateUser", &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: "fresh"}, "")
	add(owner, users, "BatchCreateUsers", &apiv1.BatchCreateUsersRequest{Parent: acmeAccount, Users: []*apiv1.NewUser{{UserId: "fresh"}}}, "")
	add(owner, users, "UpdateUser", &apiv1.UpdateUserRequest{User: rules, UpdateMask: masked("permissions")}, "")
	add(owner, users, "BatchUpdateUsers", &apiv1.BatchUpdateUsersRequest{
		Parent: acmeAccount, Requests: []*apiv1.UpdateUserRequest{{User: rules, UpdateMask: masked("permissions")}},
	}, "")
	add(owner, creds, "BatchIssueCredentials", &apiv1.BatchIssueCredentialsRequest{Parent: acmeAccount, Requests: []*apiv1.IssueCredentialRequest{{Parent: acmeUser}}}, "")
	add(owner, creds, "BatchRevokeCredentials", &apiv1.BatchRevokeCredentialsRequest{Parent: acmeAccount, Requests: []*apiv1.RevokeCredentialRequest{{Name: credential}}}, "")
	add(owner, users, "SuspendUser", &apiv1.SuspendUserRequest{Name: acmeUser}, "")
	add(owner, users, "ResumeUser", &apiv1.ResumeUserRequest{Name: acmeUser}, "")
	add(owner, users, "DeleteUser", &apiv1.DeleteUserRequest{Name: acmeUser}, "")
	add(owner, creds, "IssueCredential", &apiv1.IssueCredentialRequest{Parent: acmeUser}, "")
	add(owner, creds, "RenewCredential", &apiv1.RenewCredentialRequest{Name: credential}, "")
	add(owner, creds, "RevokeCredential", &apiv1.RevokeCredentialRequest{Name: credential}, "")
}

func (p *plane) triesOfPeople(t *testing.T, owner *caller, add adder) {
	t.Helper()
	const keys, services, members, invitations = "api.v1.APIKeyService", "api.v1.ServiceAccountService", "api.v1.MemberService", "api.v1.InvitationService"
	ctx := t.Context()
	const ci = acme + "/serviceAccounts/ci"
	reader := []*apiv1.RoleBinding{{Role: "read-only"}}
	must[*apiv1.CreateServiceAccountResponse](t, "make")(owner.services.CreateServiceAccount(ctx, &apiv1.CreateServiceAccountRequest{
		Parent: acme, ServiceAccountId: "ci", ServiceAccount: &apiv1.ServiceAccount{RoleBindings: reader},
	}))
	key := must[*apiv1.CreateAPIKeyResponse](t, "key")(owner.keys.CreateAPIKey(ctx, &apiv1.CreateAPIKeyRequest{Parent: ci})).GetApiKey().GetName()
	ann, _ := p.member(t, owner, "ann", reader...)
	bob := must[*apiv1.CreateInvitationResponse](t, "invite")(owner.invitations.CreateInvitation(ctx, invitation("bob", reader...)))
	add(owner, keys, "CreateAPIKey", &apiv1.CreateAPIKeyRequest{Parent: ci}, "")
	add(owner, keys, "RotateAPIKey", &apiv1.RotateAPIKeyRequest{Name: key}, "")
	add(owner, keys, "DisableAPIKey", &apiv1.DisableAPIKeyRequest{Name: key}, "")
	add(owner, keys, "EnableAPIKey", &apiv1.EnableAPIKeyRequest{Name: key}, "")
	add(owner, keys, "DeleteAPIKey", &apiv1.DeleteAPIKeyRequest{Name: key}, "")
	add(owner, "api.v1.OrganizationService", "UpdateOrganization", &apiv1.UpdateOrganizationRequest{
		Organization: &apiv1.Organization{Name: acme, DisplayName: "Acme"}, UpdateMask: masked("display_name"),
	}, "")
	add(owner, "api.v1.OrganizationService", "CloseOrganization", &apiv1.CloseOrganizationRequest{Name: acme}, "")
	add(owner, "api.v1.OrganizationService", "UndeleteOrganization", &apiv1.UndeleteOrganizationRequest{Name: acme}, "ORGANIZATION_NOT_CLOSING")
	add(owner, services, "CreateServiceAccount", &apiv1.CreateServiceAccountRequest{
		Parent: acme, ServiceAccountId: "fresh", ServiceAccount: &apiv1.ServiceAccount{RoleBindings: reader},
	}, "")
	add(owner, services, "UpdateServiceAccount", &apiv1.UpdateServiceAccountRequest{ServiceAccount: &apiv1.ServiceAccount{Name: ci, Disabled: true}, UpdateMask: masked("disabled")}, "")
	add(owner, services, "DeleteServiceAccount", &apiv1.DeleteServiceAccountRequest{Name: ci}, "")
	add(owner, members, "UpdateMember", &apiv1.UpdateMemberRequest{
		Member: &apiv1.Member{Name: ann, RoleBindings: []*apiv1.RoleBinding{{Role: "developer"}}}, UpdateMask: masked("role_bindings"),
	}, "")
	add(owner, members, "DeleteMember", &apiv1.DeleteMemberRequest{Name: ann}, "")
	add(owner, invitations, "CreateInvitation", invitation("eve", reader...), "")
	add(owner, invitations, "RevokeInvitation", &apiv1.RevokeInvitationRequest{Name: bob.GetInvitation().GetName()}, "")
	add(p.as(t, ""), invitations, "AcceptInvitation", &apiv1.AcceptInvitationRequest{Token: bob.GetToken()}, "")
}

func (p *plane) triesOfSharing(t *testing.T, owner, theirs *caller, add adder) {
	t.Helper()
	const exports, imports, shares = "api.v1.ExportService", "api.v1.ImportService", "api.v1.ShareService"
	ctx := t.Context()
	shop, _ := owner.newAccount(t, acme, "shop")
	owner.export(t, acmeAccount, "prices", "prices.>", apiv1.Export_TYPE_STREAM, apiv1.Export_AUDIENCE_ORGANIZATION)
	prices := acmeAccount + "/exports/prices"
	taken := must[*apiv1.CreateImportResponse](t, "import")(owner.imports.CreateImport(ctx, &apiv1.CreateImportRequest{
		Parent: shop, ImportId: "prices", Import: &apiv1.Import{Source: prices},
	})).GetImport().GetName()
	offer := must[*apiv1.CreateShareOfferResponse](t, "offer")(owner.shares.CreateShareOffer(ctx, &apiv1.CreateShareOfferRequest{
		Parent: prices, TargetOrganization: globex,
	})).GetShareOffer().GetName()
	share := must[*apiv1.ListSharesResponse](t, "list")(theirs.shares.ListShares(ctx, &apiv1.ListSharesRequest{Parent: globex})).GetShares()[0].GetName()
	add(owner, exports, "CreateExport", &apiv1.CreateExportRequest{
		Parent: acmeAccount, ExportId: "fresh", Export: &apiv1.Export{Subject: "fresh", Type: apiv1.Export_TYPE_STREAM, Audience: apiv1.Export_AUDIENCE_ORGANIZATION},
	}, "")
	add(owner, exports, "UpdateExport", &apiv1.UpdateExportRequest{
		Export: &apiv1.Export{Name: prices, Audience: apiv1.Export_AUDIENCE_OFFERED}, UpdateMask: masked("audience"),
	}, "")
	add(owner, exports, "DeleteExport", &apiv1.DeleteExportRequest{Name: prices, Force: true}, "")
	add(owner, imports, "CreateImport", &apiv1.CreateImportRequest{Parent: shop, ImportId: "fresh", Import: &apiv1.Import{Source: prices, LocalSubject: "other.>"}}, "")
	add(owner, imports, "DeleteImport", &apiv1.DeleteImportRequest{Name: taken}, "")
	add(owner, shares, "CreateShareOffer", &apiv1.CreateShareOfferRequest{Parent: prices, TargetOrganization: "organizations/initech"}, "")
	add(owner, shares, "RevokeShareOffer", &apiv1.RevokeShareOfferRequest{Name: offer}, "")
	add(theirs, shares, "AcceptShare", &apiv1.AcceptShareRequest{Name: share, Account: globexAccount}, "")
	add(theirs, shares, "RejectShare", &apiv1.RejectShareRequest{Name: share}, "")
}

func (p *plane) triesOfFederation(t *testing.T, owner *caller, idp *issuer, add adder) {
	t.Helper()
	const s = "api.v1.FederationService"
	policy := &apiv1.FederationPolicy{Issuer: idp.URL, Audience: "covey", Claims: map[string]string{"repository": "acme/shop"}, User: acmeUser}
	must[*apiv1.CreateFederationPolicyResponse](t, "policy")(owner.federation.CreateFederationPolicy(t.Context(), &apiv1.CreateFederationPolicyRequest{
		Parent: acmeAccount, FederationPolicyId: "ci", FederationPolicy: policy,
	}))
	pair := must[nkeys.KeyPair](t, "key")(nkeys.CreateUser())
	public := must[string](t, "key")(pair.PublicKey())
	ci := acmeAccount + "/federationPolicies/ci"
	add(owner, s, "CreateFederationPolicy", &apiv1.CreateFederationPolicyRequest{Parent: acmeAccount, FederationPolicyId: "fresh", FederationPolicy: policy}, "")
	add(owner, s, "DeleteFederationPolicy", &apiv1.DeleteFederationPolicyRequest{Name: ci}, "")
	add(p.as(t, ""), s, "ExchangeToken", &apiv1.ExchangeTokenRequest{Name: ci, Token: idp.token(t, idp.key, jose.RS256, nil), PublicKey: public}, "")
}

func (p *plane) triesOfAlerts(t *testing.T, owner *caller, add adder) {
	t.Helper()
	const s = "api.v1.AlertService"
	policy := &apiv1.AlertPolicy{Metric: "users", FixedValue: 2000}
	name := must[*apiv1.CreateAlertPolicyResponse](t, "policy")(owner.alerts.CreateAlertPolicy(t.Context(), &apiv1.CreateAlertPolicyRequest{
		Parent: acme, AlertPolicyId: "users", AlertPolicy: policy,
	})).GetAlertPolicy().GetName()
	add(owner, s, "CreateAlertPolicy", &apiv1.CreateAlertPolicyRequest{Parent: acme, AlertPolicyId: "fresh", AlertPolicy: policy}, "")
	add(owner, s, "UpdateAlertPolicy", &apiv1.UpdateAlertPolicyRequest{AlertPolicy: &apiv1.AlertPolicy{Name: name, FixedValue: 3000}, UpdateMask: masked("fixed_value")}, "")
	add(owner, s, "DeleteAlertPolicy", &apiv1.DeleteAlertPolicyRequest{Name: name}, "")
	add(owner, s, "AcknowledgeAlert", &apiv1.AcknowledgeAlertRequest{Name: acme + "/alerts/none"}, "RESOURCE_NOT_FOUND")
}

func (p *plane) triesOfPlans(t *testing.T, staff staffed, add adder) {
	t.Helper()
	const s = "admin.v1.PlanService"
	ctx := t.Context()
	must[*adminv1.CreatePlanResponse](t, "plan")(staff.plans.CreatePlan(ctx, &adminv1.CreatePlanRequest{PlanId: "starter", Plan: starter()}))
	override := &adminv1.SetQuotaOverrideRequest{Name: acmeAccount + "/quotaOverrides/connections", Value: &apiv1.Quota{Amount: 9}, Reason: "test", AcceptLowering: true}
	must[*adminv1.SetQuotaOverrideResponse](t, "override")(staff.plans.SetQuotaOverride(ctx, override))
	lower := proto.CloneOf(override)
	lower.Value.Amount = 1
	small := starter()
	small.Name, small.MaxUsers = "plans/starter", proto.Int64(1)
	add(staff.caller, s, "CreatePlan", &adminv1.CreatePlanRequest{PlanId: "fresh", Plan: starter()}, "")
	add(staff.caller, s, "UpdatePlan", &adminv1.UpdatePlanRequest{Plan: small, UpdateMask: masked("max_users")}, "")
	add(staff.caller, s, "DeletePlan", &adminv1.DeletePlanRequest{Name: "plans/starter"}, "")
	add(staff.caller, s, "AssignPlan", &adminv1.AssignPlanRequest{Name: acme, Plan: "plans/starter"}, "")
	add(staff.caller, s, "SetQuotaOverride", lower, "")
	add(staff.caller, s, "DeleteQuotaOverride", &adminv1.DeleteQuotaOverrideRequest{Name: override.GetName()}, "")
}

func (p *plane) triesOfStaff(t *testing.T, staff staffed, creds string, add adder) {
	t.Helper()
	const orgs, brokers, operator, stock, authority = "admin.v1.OrganizationService", "admin.v1.BrokerService", "admin.v1.OperatorService", "admin.v1.StockClusterService", "admin.v1.FleetAuthorityService"
	ctx := t.Context()
	by := staff.caller
	add(by, "api.v1.OrganizationService", "SignUp", &apiv1.SignUpRequest{OrganizationId: "initech", ContactEmail: "a@initech.example"}, "")
	add(by, orgs, "SuspendOrganization", &adminv1.SuspendOrganizationRequest{Name: acme, Reason: "test"}, "")
	add(by, orgs, "ResumeOrganization", &adminv1.ResumeOrganizationRequest{Name: acme}, "")

	cluster := &adminv1.StockCluster{Urls: []string{"nats://127.0.0.1:1"}, CredsFile: creds}
	must[*adminv1.CreateStockClusterResponse](t, "cluster")(adminv1.NewStockClusterServiceClient(by.conn).CreateStockCluster(ctx, &adminv1.CreateStockClusterRequest{
		StockClusterId: "old", StockCluster: cluster,
	}))
	add(by, stock, "CreateStockCluster", &adminv1.CreateStockClusterRequest{StockClusterId: "east", StockCluster: cluster}, "")
	add(by, stock, "DeleteStockCluster", &adminv1.DeleteStockClusterRequest{Name: "stockClusters/old"}, "")
	add(by, stock, "ResyncStockCluster", &adminv1.ResyncStockClusterRequest{Name: "stockClusters/old"}, "")

	signing := must[*adminv1.GetOperatorResponse](t, "operator")(adminv1.NewOperatorServiceClient(by.conn).GetOperator(ctx, &adminv1.GetOperatorRequest{})).GetOperator().GetKeys()[0].GetPublicKey()
	add(by, operator, "StageOperatorKey", &adminv1.StageOperatorKeyRequest{}, "")
	add(by, operator, "PromoteOperatorKey", &adminv1.PromoteOperatorKeyRequest{}, "NO_STAGED_KEY")
	add(by, operator, "RetireOperatorKey", &adminv1.RetireOperatorKeyRequest{PublicKey: signing}, "KEY_ACTIVE")

	_, pair, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request := must[[]byte](t, "request")(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, pair))
	active := must[*adminv1.GetFleetAuthorityResponse](t, "authority")(adminv1.NewFleetAuthorityServiceClient(by.conn).GetFleetAuthority(ctx, &adminv1.GetFleetAuthorityRequest{})).GetAuthorities()[0].GetId()
	add(by, authority, "RotateFleetAuthority", &adminv1.RotateFleetAuthorityRequest{}, "")
	add(by, authority, "RetireFleetAuthority", &adminv1.RetireFleetAuthorityRequest{Id: active}, "AUTHORITY_ACTIVE")
	add(by, authority, "IssueCollectorCertificate", &adminv1.IssueCollectorCertificateRequest{Collector: "one", CertificateRequest: request}, "")

	p.broker(t)
	client := adminv1.NewBrokerServiceClient(by.conn)
	var broker string
	eventually(t, func() bool {
		all := must[*adminv1.ListBrokersResponse](t, "list")(client.ListBrokers(ctx, &adminv1.ListBrokersRequest{})).GetBrokers()
		if len(all) == 1 && all[0].GetState() == adminv1.Broker_STATE_SERVING {
			broker = all[0].GetName()
		}
		return broker != ""
	})
	add(by, brokers, "DrainBroker", &adminv1.DrainBrokerRequest{Name: broker}, "")
	add(by, brokers, "UndrainBroker", &adminv1.UndrainBrokerRequest{Name: broker}, "")
	add(by, brokers, "CreateJoinToken", &adminv1.CreateJoinTokenRequest{}, "")
	add(by, brokers, "RevokeBroker", &adminv1.RevokeBrokerRequest{Name: broker}, "")
}
