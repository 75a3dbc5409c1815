// Package authz decides who may call which method on whose data. There is one
// decision function and one table; a test holds that every method of the API
// has its row.
package authz

import (
	"slices"

	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// The roles of API keys.
const (
	Operator  = "operator"  // staff of the cloud: everything, everywhere
	Owner     = "owner"     // everything in its organization
	Admin     = "admin"     // everything but what belongs to owners
	Developer = "developer" // users and credentials; reads the rest
	Billing   = "billing"   // usage and money; reads what they are about
	ReadOnly  = "read-only"
)

// Decision is what becomes of a call.
type Decision int

// The decisions.
const (
	Denied  Decision = iota // the role does not include the method
	Hidden                  // the data is another organization's: answer as if it were not there
	Allowed                 // go ahead; the store still applies the scope
)

// Target is what a call is about. Account is "" when the call is about the
// organization, and Organization is "" when it names none. Holder is whose the
// keys are, if it is about a service account or a member.
type Target struct {
	Organization, Account string
	Holder                store.Holder
}

// Decide answers whether a principal may call a method, given by its full
// name, on a target.
func Decide(p authn.Principal, method string, target Target) Decision {
	rule, known := rules()[method]
	if !known {
		return Denied
	}
	if p.Organization != "" && target.Organization != "" && target.Organization != p.Organization {
		return Hidden // also a refusal by role must not differ between foreign and absent
	}
	if rule.own.covers(p, target) {
		return Allowed
	}
	decision := Denied
	for _, b := range p.Bindings {
		if !slices.Contains(rule.roles, b.Role) || (b.Role == Operator) != (p.Organization == "") {
			continue // an operator has no organization, and everybody else has one
		}
		if decision = rule.covers(b, target); decision == Allowed {
			return Allowed
		}
	}
	if target.Account != "" && !Reaches(p, target.Account) {
		return Hidden
	}
	return decision
}

// covers decides for one binding whose role the rule includes.
func (r rule) covers(b store.RoleBinding, target Target) Decision {
	switch {
	case b.Role == Operator:
		return Allowed
	case b.Account != "":
		if r.filtered || b.Account == target.Account {
			return Allowed
		}
		return Denied
	case target.Organization != "" || r.anyOrganization:
		return Allowed
	}
	return Hidden // the name is not one of a resource
}

// Reaches reports whether a principal may know of an account of its
// organization. For "", what belongs to the organization as a whole, it needs a
// role on the whole.
func Reaches(p authn.Principal, account string) bool {
	return slices.ContainsFunc(p.Bindings, func(b store.RoleBinding) bool {
		return b.Account == "" || b.Account == account
	})
}

// IsOwner reports whether a principal may give away, and take away, everything
// in its organization.
func IsOwner(p authn.Principal) bool {
	return slices.ContainsFunc(p.Bindings, func(b store.RoleBinding) bool {
		return b.Account == "" && (b.Role == Owner || b.Role == Operator)
	})
}

type rule struct {
	roles           []string
	anyOrganization bool // the method names no organization; the store filters
	filtered        bool // the handler asks Reaches; roles on single accounts may call
	own             own  // who may call it on itself, whatever its roles
	token           bool // takes a token of its own in place of an API key; the handler checks it
}

// own says who may call a method on itself.
type own int

const (
	ownNobody  own = iota
	ownMembers     // people
	ownAll         // people and service accounts
)

func (o own) covers(p authn.Principal, target Target) bool {
	if o == ownNobody || o == ownMembers && target.Holder.Member == "" {
		return false
	}
	return p.Organization != "" && p.Organization == target.Organization && !target.Holder.IsZero() && target.Holder == p.Holder()
}

// TakesToken reports whether a method takes a token in its request in place of
// an API key.
func TakesToken(method string) bool { return rules()[method].token }

// Methods returns the full names of all methods that have a rule.
func Methods() []string {
	var names []string
	for name := range rules() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func rules() map[string]rule {
	everybody := rule{roles: []string{Operator, Owner, Admin, Developer, Billing, ReadOnly}}
	technical := rule{roles: []string{Operator, Owner, Admin, Developer, ReadOnly}}
	admins := rule{roles: []string{Operator, Owner, Admin}}
	developers := rule{roles: []string{Operator, Owner, Admin, Developer}}
	money := rule{roles: []string{Operator, Owner, Admin, Billing, ReadOnly}}
	own := rule{roles: admins.roles, own: ownAll}
	const v1 = "/covey.api.v1."
	return map[string]rule{
		v1 + "OrganizationService/SignUp":                 {roles: []string{Operator}, anyOrganization: true},
		v1 + "OrganizationService/GetOrganization":        everybody,
		v1 + "OrganizationService/ListOrganizations":      {roles: everybody.roles, anyOrganization: true},
		v1 + "AccountService/CreateAccount":               admins,
		v1 + "AccountService/GetAccount":                  everybody,
		v1 + "AccountService/ListAccounts":                everybody,
		v1 + "AccountService/UpdateAccount":               admins,
		v1 + "AccountService/SuspendAccount":              admins,
		v1 + "AccountService/ResumeAccount":               admins,
		v1 + "AccountService/DeleteAccount":               admins,
		v1 + "UserService/CreateUser":                     developers,
		v1 + "UserService/GetUser":                        technical,
		v1 + "UserService/ListUsers":                      technical,
		v1 + "UserService/DeleteUser":                     developers,
		v1 + "CredentialService/IssueCredential":          developers,
		v1 + "CredentialService/ListCredentials":          technical,
		v1 + "CredentialService/RevokeCredential":         developers,
		v1 + "OperationService/GetOperation":              {roles: everybody.roles, filtered: true},
		v1 + "OperationService/ListOperations":            everybody,
		v1 + "OperationService/WaitOperation":             {roles: everybody.roles, filtered: true},
		v1 + "ServiceAccountService/CreateServiceAccount": admins,
		v1 + "ServiceAccountService/GetServiceAccount":    own,
		v1 + "ServiceAccountService/ListServiceAccounts":  admins,
		v1 + "ServiceAccountService/UpdateServiceAccount": admins,
		v1 + "ServiceAccountService/DeleteServiceAccount": admins,
		v1 + "APIKeyService/CreateAPIKey":                 {roles: admins.roles, own: ownMembers},
		v1 + "APIKeyService/GetAPIKey":                    own,
		v1 + "APIKeyService/ListAPIKeys":                  own,
		v1 + "APIKeyService/RotateAPIKey":                 own,
		v1 + "APIKeyService/DisableAPIKey":                admins,
		v1 + "APIKeyService/EnableAPIKey":                 admins,
		v1 + "APIKeyService/DeleteAPIKey":                 own,
		v1 + "AccountService/UndeleteAccount":             admins,
		v1 + "AccountService/PurgeAccount":                {roles: []string{Operator, Owner}},
		v1 + "UserService/UpdateUser":                     developers,
		v1 + "UserService/SuspendUser":                    developers,
		v1 + "UserService/ResumeUser":                     developers,
		v1 + "CredentialService/RenewCredential":          developers,
		v1 + "RoleService/CreateRole":                     admins,
		v1 + "RoleService/GetRole":                        technical,
		v1 + "RoleService/ListRoles":                      technical,
		v1 + "RoleService/UpdateRole":                     admins,
		v1 + "RoleService/DeleteRole":                     admins,
		v1 + "RoleService/StageKey":                       admins,
		v1 + "RoleService/PromoteKey":                     admins,
		v1 + "RoleService/RetireKey":                      admins,
		v1 + "RoleService/RotateKeyNow":                   admins,
		v1 + "RoleService/ListKeyDependents":              technical,
		v1 + "UsageService/QueryUsage":                    money,
		v1 + "MemberService/GetMember":                    {roles: everybody.roles, own: ownAll},
		v1 + "MemberService/ListMembers":                  everybody,
		v1 + "MemberService/UpdateMember":                 admins,
		v1 + "MemberService/DeleteMember":                 own,
		v1 + "InvitationService/CreateInvitation":         admins,
		v1 + "InvitationService/GetInvitation":            admins,
		v1 + "InvitationService/ListInvitations":          admins,
		v1 + "InvitationService/RevokeInvitation":         admins,
		v1 + "InvitationService/AcceptInvitation":         {token: true},
		v1 + "AccessService/GetCaller":                    {roles: everybody.roles, anyOrganization: true, filtered: true},
		v1 + "AccessService/TestPermissions":              {roles: everybody.roles, filtered: true},
	}
}
