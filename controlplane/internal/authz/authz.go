// Package authz decides who may call which method on whose data. There is one
// decision function and one table; a test holds that every method of the API
// has its row.
package authz

import (
	"slices"

	"github.com/coveymq/covey/controlplane/internal/authn"
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

// Decide answers whether a principal may call a method, given by its full
// name, on an organization. Organization is "" when the method names none.
func Decide(p authn.Principal, method, organization string) Decision {
	rule, known := rules()[method]
	if !known || !slices.Contains(rule.roles, p.Role) {
		if known && p.Organization != "" && organization != "" && organization != p.Organization {
			return Hidden // also a refusal by role must not differ between foreign and absent
		}
		return Denied
	}
	switch {
	case (p.Role == Operator) != (p.Organization == ""):
		return Denied // an operator has no organization, and everybody else has one
	case p.Role == Operator:
		return Allowed
	case organization == "" && rule.anyOrganization:
		return Allowed
	case organization == p.Organization:
		return Allowed
	}
	return Hidden
}

type rule struct {
	roles           []string
	anyOrganization bool // the method names no organization; the store filters
}

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
	const v1 = "/covey.api.v1."
	return map[string]rule{
		v1 + "OrganizationService/SignUp":            {roles: []string{Operator}, anyOrganization: true},
		v1 + "OrganizationService/GetOrganization":   everybody,
		v1 + "OrganizationService/ListOrganizations": {roles: everybody.roles, anyOrganization: true},
		v1 + "AccountService/CreateAccount":          admins,
		v1 + "AccountService/GetAccount":             everybody,
		v1 + "AccountService/ListAccounts":           everybody,
		v1 + "AccountService/UpdateAccount":          admins,
		v1 + "AccountService/SuspendAccount":         admins,
		v1 + "AccountService/ResumeAccount":          admins,
		v1 + "AccountService/DeleteAccount":          admins,
		v1 + "UserService/CreateUser":                developers,
		v1 + "UserService/GetUser":                   technical,
		v1 + "UserService/ListUsers":                 technical,
		v1 + "UserService/DeleteUser":                developers,
		v1 + "CredentialService/IssueCredential":     developers,
		v1 + "CredentialService/ListCredentials":     technical,
		v1 + "CredentialService/RevokeCredential":    developers,
		v1 + "OperationService/GetOperation":         everybody,
		v1 + "OperationService/ListOperations":       everybody,
		v1 + "OperationService/WaitOperation":        everybody,
		v1 + "UsageService/QueryUsage":               money,
	}
}
