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
