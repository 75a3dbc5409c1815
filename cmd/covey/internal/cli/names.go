package cli

import (
	"strings"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// scope is where short ids belong: flags first, then the context.
type scope struct{ org, account, user string }

// scopeOf merges flags, any of which may be empty or a full name, into the
// context's organization, account and user.
func scopeOf(c *contexts.Context, flags scope) (scope, error) {
	s := scope{org: orElse(flags.org, c.Organization), account: orElse(flags.account, c.Account), user: orElse(flags.user, c.User)}
	var err error
	if s.org != "" {
		if s.org, err = fullName(s.org, "organizations", "", "organization"); err != nil {
			return scope{}, err
		}
	}
	// The context's account and user belong to its own organization only.
	if flags.account == "" && c.Organization != "" && s.org != "organizations/"+lastSegment(c.Organization) {
		s.account, s.user = "", ""
	}
	if flags.user == "" && flags.account != "" && lastSegment(flags.account) != lastSegment(c.Account) {
		s.user = ""
	}
	return s, nil
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Resource kinds by depth: a full name alternates these with ids.
const (
	segOrganizations = "organizations"
	segAccounts      = "accounts"
	segUsers         = "users"
	segCredentials   = "credentials"
	segOperations    = "operations"

	segRoles           = "roles"
	segServiceAccounts = "serviceAccounts"
	segAPIKeys         = "apiKeys"
	segMembers         = "members"
	segInvitations     = "invitations"
	segExports         = "exports"
	segImports         = "imports"
	segOffers          = "offers"
	segShares          = "shares"
)

func (s scope) orgName() (string, error) {
	if s.org == "" {
		return "", term.Usagef("give --org, or use an organization's context: `covey context list`", "which organization is not known")
	}
	return s.org, nil
}

func (s scope) accountName(id string) (string, error) {
	if isFull(id) {
		return fullName(id, segAccounts, "", "account")
	}
	org, err := s.orgName()
	if err != nil {
		return "", err
	}
	return fullName(id, segAccounts, org, "account")
}

// defaultAccount is the account that --account or the context gives.
func (s scope) defaultAccount() (string, error) {
	if s.account == "" {
		return "", term.Usagef("give --account", "which account is not known")
	}
	return s.accountName(s.account)
}

func (s scope) userName(id string) (string, error) {
	if isFull(id) {
		return fullName(id, segUsers, "", "user")
	}
	account, err := s.defaultAccount()
	if err != nil {
		return "", err
	}
	return fullName(id, segUsers, account, "user")
}

func (s scope) defaultUser() (string, error) {
	if s.user == "" {
		return "", term.Usagef("give --user", "which user is not known")
	}
	return s.userName(s.user)
}

func (s scope) credentialName(id string) (string, error) {
	if isFull(id) {
		return fullName(id, segCredentials, "", "credential")
	}
	user, err := s.defaultUser()
	if err != nil {
		return "", err
	}
	return fullName(id, segCredentials, user, "credential")
}

func (s scope) operationName(id string) (string, error) {
	if isFull(id) {
		return fullName(id, segOperations, "", "operation")
	}
	org, err := s.orgName()
	if err != nil {
		return "", err
	}
	return fullName(id, segOperations, org, "operation")
}

func (s scope) roleName(id string) (string, error) {
	if isFull(id) {
		return fullName(id, segRoles, "", "role")
	}
	account, err := s.defaultAccount()
	if err != nil {
		return "", err
	}
	return fullName(id, segRoles, account, "role")
}

func (s scope) serviceAccountName(id string) (string, error) {
	if isFull(id) {
		return fullName(id, segServiceAccounts, "", "service account")
	}
	org, err := s.orgName()
	if err != nil {
		return "", err
	}
	return fullName(id, segServiceAccounts, org, "service account")
}

func (s scope) memberName(id string) (string, error) {
	return s.ofOrganization(id, segMembers, "member")
}

func (s scope) invitationName(id string) (string, error) {
	return s.ofOrganization(id, segInvitations, "invitation")
}

// ofOrganization makes a full name of an id directly below the organization.
func (s scope) ofOrganization(id, collection, kind string) (string, error) {
	if isFull(id) {
		return fullName(id, collection, "", kind)
	}
	org, err := s.orgName()
	if err != nil {
		return "", err
	}
	return fullName(id, collection, org, kind)
}

// ofAccount makes a full name of an id directly below the account.
func (s scope) ofAccount(id, collection, kind string) (string, error) {
	if isFull(id) {
		return fullName(id, collection, "", kind)
	}
	account, err := s.defaultAccount()
	if err != nil {
		return "", err
	}
	return fullName(id, collection, account, kind)
}

func isFull(id string) bool { return strings.HasPrefix(id, segOrganizations+"/") }

// fullName makes a full name of an id under its parent, and checks that a full
// name is of the wanted kind. Whether the id is well-formed is the server's to
// say; only what would change the name's shape is refused here.
func fullName(id, collection, parent, kind string) (string, error) {
	if id == "" {
		return "", term.Usagef("ids are lower-case letters, digits and '-', from a letter on", "the %s id is empty", kind)
	}
	if isFull(id) {
		parts := strings.Split(id, "/")
		wellFormed := len(parts)%2 == 0 && parts[len(parts)-2] == collection
		for _, p := range parts {
			wellFormed = wellFormed && p != ""
		}
		if !wellFormed {
			return "", term.Usagef("a short id is enough", "%q is not the name of one %s", id, kind)
		}
		return id, nil
	}
	if strings.ContainsAny(id, "/:") {
		return "", term.Usagef("give an id, or a full name that begins with organizations/", "%q is not an id of one %s", id, kind)
	}
	if parent == "" {
		return collection + "/" + id, nil
	}
	return parent + "/" + collection + "/" + id, nil
}

// lastSegment is the id at the end of a name.
func lastSegment(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
