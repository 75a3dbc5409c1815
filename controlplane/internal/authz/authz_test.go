package authz_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/store"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// The roles in the order of the columns below: operator, owner, admin,
// developer, billing, read-only.
func roles() []string {
	return []string{authz.Operator, authz.Owner, authz.Admin, authz.Developer, authz.Billing, authz.ReadOnly}
}

// table says for each method which roles may call it on their own
// organization: one letter per role, in the order of roles.
func table() map[string]string {
	return map[string]string{
		"OrganizationService/SignUp":                 "y-----",
		"OrganizationService/GetOrganization":        "yyyyyy",
		"OrganizationService/ListOrganizations":      "yyyyyy",
		"AccountService/CreateAccount":               "yyy---",
		"AuditService/ListAuditEntries":              "yyy---",
		"AccountService/BatchCreateAccounts":         "yyy---",
		"AccountService/BatchUpdateAccounts":         "yyy---",
		"AccountService/BatchGetAccounts":            "yyyyyy",
		"AccountService/GetAccount":                  "yyyyyy",
		"AccountService/ListAccounts":                "yyyyyy",
		"AccountService/UpdateAccount":               "yyy---",
		"AccountService/SuspendAccount":              "yyy---",
		"AccountService/ResumeAccount":               "yyy---",
		"AccountService/DeleteAccount":               "yyy---",
		"UserService/CreateUser":                     "yyyy--",
		"UserService/GetUser":                        "yyyy-y",
		"UserService/BatchCreateUsers":               "yyyy--",
		"UserService/BatchUpdateUsers":               "yyyy--",
		"CredentialService/BatchIssueCredentials":    "yyyy--",
		"CredentialService/BatchRevokeCredentials":   "yyyy--",
		"UserService/BatchGetUsers":                  "yyyy-y",
		"UserService/ListUsers":                      "yyyy-y",
		"UserService/DeleteUser":                     "yyyy--",
		"CredentialService/IssueCredential":          "yyyy--",
		"CredentialService/GetCredential":            "yyyy-y",
		"CredentialService/ListCredentials":          "yyyy-y",
		"CredentialService/RevokeCredential":         "yyyy--",
		"OperationService/GetOperation":              "yyyyyy",
		"OperationService/ListOperations":            "yyyyyy",
		"OperationService/WaitOperation":             "yyyyyy",
		"ServiceAccountService/CreateServiceAccount": "yyy---",
		"ServiceAccountService/GetServiceAccount":    "yyy---",
		"ServiceAccountService/ListServiceAccounts":  "yyy---",
		"ServiceAccountService/UpdateServiceAccount": "yyy---",
		"OrganizationService/UpdateOrganization":     "yyy---",
		"OrganizationService/CloseOrganization":      "yy----",
		"OrganizationService/UndeleteOrganization":   "yy----",
		"ServiceAccountService/DeleteServiceAccount": "yyy---",
		"APIKeyService/CreateAPIKey":                 "yyy---",
		"APIKeyService/GetAPIKey":                    "yyy---",
		"APIKeyService/ListAPIKeys":                  "yyy---",
		"APIKeyService/RotateAPIKey":                 "yyy---",
		"APIKeyService/DisableAPIKey":                "yyy---",
		"APIKeyService/EnableAPIKey":                 "yyy---",
		"APIKeyService/DeleteAPIKey":                 "yyy---",
		"AccountService/UndeleteAccount":             "yyy---",
		"AccountService/PurgeAccount":                "yy----",
		"AccountService/ExportAccount":               "yy----",
		"UserService/UpdateUser":                     "yyyy--",
		"UserService/SuspendUser":                    "yyyy--",
		"UserService/ResumeUser":                     "yyyy--",
		"CredentialService/RenewCredential":          "yyyy--",
		"RoleService/CreateRole":                     "yyy---",
		"RoleService/GetRole":                        "yyyy-y",
		"RoleService/ListRoles":                      "yyyy-y",
		"RoleService/UpdateRole":                     "yyy---",
		"RoleService/DeleteRole":                     "yyy---",
		"RoleService/StageKey":                       "yyy---",
		"RoleService/PromoteKey":                     "yyy---",
		"RoleService/RetireKey":                      "yyy---",
		"RoleService/RotateKeyNow":                   "yyy---",
		"RoleService/ListKeyDependents":              "yyyy-y",
		"UsageService/QueryUsage":                    "yyy-yy",
		"MemberService/GetMember":                    "yyyyyy",
		"MemberService/ListMembers":                  "yyyyyy",
		"MemberService/UpdateMember":                 "yyy---",
		"MemberService/DeleteMember":                 "yyy---",
		"InvitationService/CreateInvitation":         "yyy---",
		"InvitationService/GetInvitation":            "yyy---",
		"InvitationService/ListInvitations":          "yyy---",
		"InvitationService/RevokeInvitation":         "yyy---",
		"InvitationService/AcceptInvitation":         "------", // takes an invitation's token
		"AccessService/GetCaller":                    "yyyyyy",
		"AccessService/TestPermissions":              "yyyyyy",
		"WatchService/WatchResources":                "yyyyyy",
		"FederationService/CreateFederationPolicy":   "yyy---",
		"FederationService/GetFederationPolicy":      "yyyy-y",
		"FederationService/ListFederationPolicies":   "yyyy-y",
		"FederationService/DeleteFederationPolicy":   "yyy---",
		"FederationService/ExchangeToken":            "------", // takes an identity provider's token
		"AccessService/ExplainAccess":                "yyyy-y",
		"AccessService/GetEffectiveLimits":           "yyyyyy",
		"ExportService/CreateExport":                 "yyy---",
		"ExportService/GetExport":                    "yyyy-y",
		"ExportService/ListExports":                  "yyyy-y",
		"ExportService/UpdateExport":                 "yyy---",
		"ExportService/DeleteExport":                 "yyy---",
		"ImportService/CreateImport":                 "yyy---",
		"ImportService/GetImport":                    "yyyy-y",
		"ImportService/ListImports":                  "yyyy-y",
		"ImportService/DeleteImport":                 "yyy---",
		"ShareService/CreateShareOffer":              "yyy---",
		"ShareService/GetShareOffer":                 "yyyy-y",
		"ShareService/ListShareOffers":               "yyyy-y",
		"ShareService/RevokeShareOffer":              "yyy---",
		"ShareService/GetShare":                      "yyyy-y",
		"ShareService/ListShares":                    "yyyy-y",
		"ShareService/AcceptShare":                   "yyy---",
		"ShareService/RejectShare":                   "yyy---",

		"/covey.admin.v1.MaintenanceService/Backup":                       "y-----",
		"/covey.admin.v1.MaintenanceService/VerifyAudit":                  "y-----",
		"/covey.admin.v1.BrokerService/ListBrokers":                       "y-----",
		"/covey.admin.v1.BrokerService/GetBroker":                         "y-----",
		"/covey.admin.v1.BrokerService/DrainBroker":                       "y-----",
		"/covey.admin.v1.BrokerService/UndrainBroker":                     "y-----",
		"/covey.admin.v1.BrokerService/RevokeBroker":                      "y-----",
		"/covey.admin.v1.BrokerService/CreateJoinToken":                   "y-----",
		"/covey.admin.v1.FleetAuthorityService/GetFleetAuthority":         "y-----",
		"/covey.admin.v1.FleetAuthorityService/RotateFleetAuthority":      "y-----",
		"/covey.admin.v1.FleetAuthorityService/RetireFleetAuthority":      "y-----",
		"/covey.admin.v1.FleetAuthorityService/IssueCollectorCertificate": "y-----",
		"/covey.admin.v1.OperatorService/GetOperator":                     "y-----",
		"/covey.admin.v1.OperatorService/StageOperatorKey":                "y-----",
		"/covey.admin.v1.OperatorService/PromoteOperatorKey":              "y-----",
		"/covey.admin.v1.OperatorService/RetireOperatorKey":               "y-----",

		"AlertService/CreateAlertPolicy": "yyy---",
		"AlertService/GetAlertPolicy":    "yyyyyy",
		"AlertService/ListAlertPolicies": "yyyyyy",
		"AlertService/UpdateAlertPolicy": "yyy---",
		"AlertService/DeleteAlertPolicy": "yyy---",
		"AlertService/TestAlertPolicy":   "yyy---",
		"AlertService/GetAlert":          "yyyyyy",
		"AlertService/ListAlerts":        "yyyyyy",
		"AlertService/AcknowledgeAlert":  "yyyyy-",

		"PlanService/GetPlan": "yyyyyy", "PlanService/ListPlans": "yyyyyy", "PlanService/GetOrganizationPlan": "yyyyyy",
		"/covey.admin.v1.PlanService/CreatePlan": "y-----", "/covey.admin.v1.PlanService/UpdatePlan": "y-----", "/covey.admin.v1.PlanService/DeletePlan": "y-----",
		"/covey.admin.v1.PlanService/ListPlanOrganizations": "y-----", "/covey.admin.v1.PlanService/AssignPlan": "y-----",
		"/covey.admin.v1.PlanService/SetQuotaOverride": "y-----", "/covey.admin.v1.PlanService/DeleteQuotaOverride": "y-----",
		"/covey.admin.v1.OrganizationService/SuspendOrganization": "y-----", "/covey.admin.v1.OrganizationService/ResumeOrganization": "y-----",

		"/covey.admin.v1.StockClusterService/ListStockClusters":  "y-----",
		"/covey.admin.v1.StockClusterService/GetStockCluster":    "y-----",
		"/covey.admin.v1.StockClusterService/CreateStockCluster": "y-----",
		"/covey.admin.v1.StockClusterService/DeleteStockCluster": "y-----",
		"/covey.admin.v1.StockClusterService/ResyncStockCluster": "y-----",
	}
}

// methods lists every method of the API from its descriptors: whatever package
// of ours is linked in.
func methods() []string {
	var names []string
	for _, pkg := range []protoreflect.FullName{apiv1.File_covey_api_v1_access_proto.Package(), adminv1.File_covey_admin_v1_maintenance_proto.Package()} {
		protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
			for i := range file.Services().Len() {
				service := file.Services().Get(i)
				for j := range service.Methods().Len() {
					names = append(names, "/"+string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
				}
			}
			return true
		})
	}
	slices.Sort(names)
	return names
}

// nameless are the methods whose requests name no organization.
func nameless() map[string]bool {
	return map[string]bool{
		"OrganizationService/SignUp": true, "OrganizationService/ListOrganizations": true, "AccessService/GetCaller": true,
		"InvitationService/AcceptInvitation": true,

		"/covey.admin.v1.MaintenanceService/Backup": true, "/covey.admin.v1.MaintenanceService/VerifyAudit": true,
		"PlanService/GetPlan": true, "PlanService/ListPlans": true,
		"/covey.admin.v1.PlanService/CreatePlan": true, "/covey.admin.v1.PlanService/UpdatePlan": true, "/covey.admin.v1.PlanService/DeletePlan": true,
		"/covey.admin.v1.PlanService/ListPlanOrganizations": true,

		"/covey.admin.v1.BrokerService/ListBrokers":   true,
		"/covey.admin.v1.BrokerService/GetBroker":     true,
		"/covey.admin.v1.BrokerService/DrainBroker":   true,
		"/covey.admin.v1.BrokerService/UndrainBroker": true,
		"/covey.admin.v1.BrokerService/RevokeBroker":  true,

		"/covey.admin.v1.StockClusterService/ListStockClusters":  true,
		"/covey.admin.v1.StockClusterService/GetStockCluster":    true,
		"/covey.admin.v1.StockClusterService/CreateStockCluster": true,
		"/covey.admin.v1.StockClusterService/DeleteStockCluster": true,
		"/covey.admin.v1.StockClusterService/ResyncStockCluster": true,
	}
}

// filtered are the methods that roles on one account may call on anything,
// because their handlers look closer.
func filtered() map[string]bool {
	return map[string]bool{
		"OperationService/GetOperation": true, "OperationService/WaitOperation": true,
		"AccessService/GetCaller": true, "AccessService/TestPermissions": true,
	}
}

// ownMethods are those that a holder of keys may call on itself, with the
// letters of who: members, service accounts.
func ownMethods() map[string]string {
	return map[string]string{
		"MemberService/GetMember": "ms", "MemberService/DeleteMember": "ms", "ServiceAccountService/GetServiceAccount": "ms",
		"APIKeyService/CreateAPIKey": "m", "APIKeyService/GetAPIKey": "ms", "APIKeyService/ListAPIKeys": "ms",
		"APIKeyService/RotateAPIKey": "ms", "APIKeyService/DeleteAPIKey": "ms",
	}
}

func principal(role, organization string) authn.Principal {
	return authn.Principal{KeyID: "key_x", Organization: organization, Bindings: []store.RoleBinding{{Role: role}}}
}

func TestEveryMethodHasItsRow(t *testing.T) {
	if got, want := authz.Methods(), methods(); !slices.Equal(got, want) {
		t.Errorf("rules are for\n%v\nthe API has\n%v", got, want)
	}
	for _, m := range methods() {
		if table()[strings.TrimPrefix(m, "/covey.api.v1.")] == "" {
			t.Errorf("%s has no row in the table of this test", m)
		}
	}
}

func TestEveryRoleOnOwnAndForeign(t *testing.T) {
	for _, method := range methods() {
		short := strings.TrimPrefix(method, "/covey.api.v1.")
		row := table()[short]
		named := !nameless()[short]
		for i, role := range roles() {
			may := row != "" && row[i] == 'y'
			p := principal(role, "acme")
			if role == authz.Operator {
				p.Organization = ""
			}
			own, foreign := authz.Denied, authz.Hidden
			if may {
				own = authz.Allowed
			}
			if role == authz.Operator {
				foreign = own
			}
			target := "acme"
			if !named {
				target, foreign = "", authz.Denied
			}
			if got := authz.Decide(p, method, authz.Target{Organization: target}); got != own {
				t.Errorf("%s %s on its own: %v, want %v", role, short, got, own)
			}
			if !named {
				continue
			}
			for _, other := range []string{"globex", "acm", "acme2", "ACME"} {
				if got := authz.Decide(p, method, authz.Target{Organization: other}); got != foreign {
					t.Errorf("%s %s on %s: %v, want %v", role, short, other, got, foreign)
				}
			}
			if role != authz.Operator && authz.Decide(p, method, authz.Target{}) == authz.Allowed {
				t.Errorf("%s %s without an organization is allowed", role, short)
			}
		}
	}
}

// Whoever holds a key may look at itself and change its own keys, even without
// any role, and nobody else's.
func TestEverybodyOnItself(t *testing.T) {
	ann, ci := store.Holder{Member: "ann"}, store.Holder{ServiceAccount: "ann"}
	for _, method := range methods() {
		short := strings.TrimPrefix(method, "/covey.api.v1.")
		for letter, p := range map[string]authn.Principal{
			"m": {KeyID: "key_x", Organization: "acme", Member: "ann"}, "s": {KeyID: "key_x", Organization: "acme", ServiceAccount: "ann"},
		} {
			for target, own := range map[authz.Target]bool{
				{Organization: "acme", Holder: ann}:                         letter == "m",
				{Organization: "acme", Holder: ci}:                          letter == "s",
				{Organization: "acme", Holder: store.Holder{Member: "bob"}}: false,
				{Organization: "globex", Holder: ann}:                       false,
				{Organization: "acme"}:                                      false,
				{}:                                                          false,
			} {
				want := own && strings.Contains(ownMethods()[short], letter)
				if got := authz.Decide(p, method, target); (got == authz.Allowed) != want {
					t.Errorf("%s of %+v by %+v: %v", short, target, p, got)
				}
			}
		}
	}
}

func TestWhatTakesATokenTakesNoKey(t *testing.T) {
	for _, method := range methods() {
		if got, want := authz.TakesToken(method), strings.HasSuffix(method, "/AcceptInvitation") || strings.HasSuffix(method, "/ExchangeToken"); got != want {
			t.Errorf("%s takes a token: %v", method, got)
		}
	}
}

func TestOddPrincipalsReachNothing(t *testing.T) {
	for _, p := range []authn.Principal{
		{},
		principal("root", ""),
		principal(authz.Owner, ""),
		principal(authz.Operator, "acme"),
		principal("nobody", "acme"),
	} {
		for _, method := range methods() {
			for _, org := range []string{"globex", ""} {
				if got := authz.Decide(p, method, authz.Target{Organization: org}); got == authz.Allowed {
					t.Errorf("%+v may call %s on %q", p, method, org)
				}
			}
		}
	}
	if got := authz.Decide(principal(authz.Operator, ""), "/covey.api.v1.Unknown/Method", authz.Target{Organization: "acme"}); got != authz.Denied {
		t.Errorf("an unknown method is %v", got)
	}
}

// A role on one account is what the same role on the organization is, on that
// account; other accounts are not there, and the organization is not its own.
func TestEveryRoleOnOneAccount(t *testing.T) {
	ownFilter := filtered()
	for _, method := range methods() {
		short := strings.TrimPrefix(method, "/covey.api.v1.")
		for i, role := range roles()[1:] {
			p := authn.Principal{KeyID: "key_x", Organization: "acme", Bindings: []store.RoleBinding{{Role: role, Account: "orders"}}}
			may := table()[short][i+1] == 'y'
			for target, want := range map[authz.Target]bool{
				{Organization: "acme", Account: "orders"}:   may,
				{Organization: "acme", Account: "shop"}:     may && ownFilter[short],
				{Organization: "acme"}:                      may && ownFilter[short],
				{Organization: "globex", Account: "orders"}: false,
				{}: may && ownFilter[short],
			} {
				got := authz.Decide(p, method, target)
				if (got == authz.Allowed) != want {
					t.Errorf("%s on one account, %s on %+v: %v", role, short, target, got)
				}
				if got == authz.Denied && (target.Organization == "globex" || target.Account == "shop") {
					t.Errorf("%s on one account learns by %s that %+v is there", role, short, target)
				}
			}
		}
	}
}

func TestWhoReachesWhat(t *testing.T) {
	narrow := authn.Principal{Organization: "acme", Bindings: []store.RoleBinding{{Role: authz.Admin, Account: "orders"}}}
	wide := principal(authz.ReadOnly, "acme")
	for account, want := range map[string]bool{"orders": true, "shop": false, "": false} {
		if authz.Reaches(narrow, account) != want || !authz.Reaches(wide, account) {
			t.Errorf("%q is reached wrongly", account)
		}
	}
	for _, role := range roles() {
		organization := "acme"
		if role == authz.Operator {
			organization = ""
		}
		if got, want := authz.IsOwner(principal(role, organization)), role == authz.Owner || role == authz.Operator; got != want {
			t.Errorf("IsOwner of %s is %v", role, got)
		}
	}
	if authz.IsOwner(authn.Principal{Organization: "acme", Bindings: []store.RoleBinding{{Role: authz.Owner, Account: "orders"}}}) {
		t.Error("an owner of one account owns the organization")
	}
}
