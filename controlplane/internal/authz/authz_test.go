package authz_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/authz"
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
		"OrganizationService/SignUp":            "y-----",
		"OrganizationService/GetOrganization":   "yyyyyy",
		"OrganizationService/ListOrganizations": "yyyyyy",
		"AccountService/CreateAccount":          "yyy---",
		"AccountService/GetAccount":             "yyyyyy",
		"AccountService/ListAccounts":           "yyyyyy",
		"AccountService/UpdateAccount":          "yyy---",
		"AccountService/SuspendAccount":         "yyy---",
		"AccountService/ResumeAccount":          "yyy---",
		"AccountService/DeleteAccount":          "yyy---",
		"UserService/CreateUser":                "yyyy--",
		"UserService/GetUser":                   "yyyy-y",
		"UserService/ListUsers":                 "yyyy-y",
		"UserService/DeleteUser":                "yyyy--",
		"CredentialService/IssueCredential":     "yyyy--",
		"CredentialService/ListCredentials":     "yyyy-y",
		"CredentialService/RevokeCredential":    "yyyy--",
		"OperationService/GetOperation":         "yyyyyy",
		"OperationService/ListOperations":       "yyyyyy",
		"OperationService/WaitOperation":        "yyyyyy",
		"UsageService/QueryUsage":               "yyy-yy",
	}
}

// methods lists every method of the API from its descriptors.
func methods() []string {
	var names []string
	for _, file := range []protoreflect.FileDescriptor{
		apiv1.File_covey_api_v1_organizations_proto, apiv1.File_covey_api_v1_accounts_proto, apiv1.File_covey_api_v1_users_proto,
		apiv1.File_covey_api_v1_credentials_proto, apiv1.File_covey_api_v1_operations_proto, apiv1.File_covey_api_v1_usage_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				names = append(names, "/"+string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
			}
		}
	}
	slices.Sort(names)
	return names
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
		named := short != "OrganizationService/SignUp" && short != "OrganizationService/ListOrganizations"
		for i, role := range roles() {
			may := row != "" && row[i] == 'y'
			p := authn.Principal{KeyID: "key_x", Role: role, Organization: "acme"}
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
			if got := authz.Decide(p, method, target); got != own {
				t.Errorf("%s %s on its own: %v, want %v", role, short, got, own)
			}
			if !named {
				continue
			}
			for _, other := range []string{"globex", "acm", "acme2", "ACME"} {
				if got := authz.Decide(p, method, other); got != foreign {
					t.Errorf("%s %s on %s: %v, want %v", role, short, other, got, foreign)
				}
			}
			if role != authz.Operator && authz.Decide(p, method, "") == authz.Allowed {
				t.Errorf("%s %s without an organization is allowed", role, short)
			}
		}
	}
}

func TestOddPrincipalsReachNothing(t *testing.T) {
	for _, p := range []authn.Principal{
		{},
		{Role: "root"},
		{Role: authz.Owner},
		{Role: authz.Operator, Organization: "acme"},
		{Role: "nobody", Organization: "acme"},
	} {
		for _, method := range methods() {
			for _, org := range []string{"globex", ""} {
				if got := authz.Decide(p, method, org); got == authz.Allowed {
					t.Errorf("%+v may call %s on %q", p, method, org)
				}
			}
		}
	}
	if got := authz.Decide(authn.Principal{Role: authz.Operator}, "/covey.api.v1.Unknown/Method", "acme"); got != authz.Denied {
		t.Errorf("an unknown method is %v", got)
	}
}
