package cli

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// completeWithin is how long somebody who pressed a key waits for names at most.
const completeWithin = 3 * time.Second

// asked is what names are looked for: where, and after which arguments.
type asked struct {
	scope

	typed []string
}

// lister reads what there is of one kind: the first page of it.
type lister func(ctx context.Context, s *session, in asked) ([]string, error)

// listers are who knows the names that stand for a word of a usage line.
func listers() map[string]lister {
	return map[string]lister{
		"ORGANIZATION": listOrganizations, "ACCOUNT": listAccounts, "USER": listUsers, "ROLE": listRoles, "CREDENTIAL": listCredentials,
		"PUBLIC_KEY": listSigningKeys, "SERVICE_ACCOUNT": listServiceAccounts, "KEY": listAPIKeys, "MEMBER": listMembers, "INVITATION": listInvitations,
		"EXPORT": listExports, "IMPORT": listImports, "OFFER": listOffers, "SHARE": listShares, "POLICY": listFederation,
		"ALERT": listAlerts, "ALERT_POLICY": listAlertPolicies, "OPERATION": listOperations, "PLAN": listPlans, "BROKER": listBrokers, "CLUSTER": listClusters,
	}
}

// namesOf are the words for what commands of a group call only NAME.
func namesOf() map[string]string {
	return map[string]string{
		"serviceaccount": "SERVICE_ACCOUNT", "export": "EXPORT", "import": "IMPORT", "federation": "POLICY", "alert policy": "ALERT_POLICY",
		"admin cluster": "CLUSTER",
	}
}

// flagWords are the flags that name something, and the words for it.
func flagWords() map[string]string {
	return map[string]string{"org": "ORGANIZATION", "account": "ACCOUNT", "user": "USER", "role": "ROLE", "share": "SHARE", "service-account": "SERVICE_ACCOUNT", "plan": "PLAN"}
}

var usageWord = regexp.MustCompile(`^\[?([A-Z_]+)`) //nolint:gochecknoglobals // compiled once, never changed

// offerNames gives the commands below one completion with the names that there
// are, wherever they have none.
func (a *App) offerNames(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.offerNames(sub)
	}
	for flag, word := range flagWords() {
		own := c.LocalFlags().Lookup(flag)
		if own != nil && own.Value.Type() == "string" && c.InheritedFlags().Lookup(flag) == nil {
			_ = c.RegisterFlagCompletionFunc(flag, a.complete(listers()[word])) // one that is there already knows better
		}
	}
	if words := wordsOf(c); c.ValidArgsFunction == nil && len(words) > 0 {
		c.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			i := min(len(args), len(words)-1)
			if len(args) >= len(words) && !strings.Contains(cmd.Use, "...") || words[i] == nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			names, directive := a.complete(words[i])(cmd, args, prefix)
			return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(args, n) }), directive
		}
	}
}

// wordsOf is who knows the names of each argument of a command; nil for what is
// not there yet, or is no name.
func wordsOf(c *cobra.Command) []lister {
	switch c.Name() {
	case "create", "add", "invite", "init", "certificate", "context":
		return nil
	}
	if !c.HasParent() || c.HasSubCommands() || c.Parent().Name() == "context" {
		return nil
	}
	group := strings.TrimPrefix(c.Parent().CommandPath(), c.Root().Name()+" ")
	var all []lister
	known := false
	for _, part := range strings.Fields(c.Use)[1:] {
		m := usageWord.FindStringSubmatch(part)
		if m == nil {
			break // flags follow
		}
		word := m[1]
		switch {
		case word == "NAME":
			word = namesOf()[group]
		case word == "KEY" && group != "apikey":
			word = ""
		}
		l := listers()[word]
		known = known || l != nil
		all = append(all, l)
	}
	if !known {
		return nil
	}
	return all
}

// complete offers names to a shell. Whatever goes wrong, nothing is offered: the
// command itself will say why.
func (a *App) complete(list lister) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) (names []string, _ cobra.ShellCompDirective) {
		flag := func(name string) string {
			f := cmd.Flag(name)
			if f == nil || f.Value.Type() != "string" {
				return ""
			}
			return f.Value.String()
		}
		_ = a.withScope(scope{org: flag("org"), account: flag("account"), user: flag("user")}, func(s *session, in scope) error {
			ctx, cancel := context.WithTimeout(cmd.Root().Context(), completeWithin)
			defer cancel()
			all, err := list(ctx, s, asked{in, args})
			for _, n := range all {
				if strings.HasPrefix(n, prefix) && term.Clean(n) == n { // what could drive the terminal is no name
					names = append(names, n)
				}
			}
			return err
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// named is any resource.
type named interface{ GetName() string }

// idsOf are the last parts of the names of resources.
func idsOf[M named](all []M, err error) ([]string, error) {
	ids, err := fullNamesOf(all, err)
	for i := range ids {
		ids[i] = lastSegment(ids[i])
	}
	return ids, err
}

func fullNamesOf[M named](all []M, err error) ([]string, error) {
	names := make([]string, 0, len(all))
	for _, m := range all {
		names = append(names, m.GetName())
	}
	return names, err
}

func listOrganizations(ctx context.Context, s *session, _ asked) ([]string, error) {
	r, err := apiv1.NewOrganizationServiceClient(s).ListOrganizations(ctx, &apiv1.ListOrganizationsRequest{PageSize: pageSize})
	return idsOf(r.GetOrganizations(), err)
}

func listAccounts(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.orgName()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewAccountServiceClient(s).ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: parent, PageSize: pageSize, ShowDeleted: true})
	return idsOf(r.GetAccounts(), err)
}

func listUsers(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.defaultAccount()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewUserServiceClient(s).ListUsers(ctx, &apiv1.ListUsersRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetUsers(), err)
}

func listCredentials(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.defaultUser()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewCredentialServiceClient(s).ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetCredentials(), err)
}

func listRoles(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.defaultAccount()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewRoleServiceClient(s).ListRoles(ctx, &apiv1.ListRolesRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetRoles(), err)
}

// listSigningKeys are those of the role that was typed before.
func listSigningKeys(ctx context.Context, s *session, in asked) ([]string, error) {
	if len(in.typed) == 0 {
		return nil, nil
	}
	name, err := in.roleName(in.typed[0])
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewRoleServiceClient(s).GetRole(ctx, &apiv1.GetRoleRequest{Name: name})
	var keys []string
	for _, k := range r.GetRole().GetKeys() {
		if k.GetState() != apiv1.SigningKey_STATE_RETIRED {
			keys = append(keys, k.GetPublicKey())
		}
	}
	return keys, err
}

func listServiceAccounts(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.orgName()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewServiceAccountServiceClient(s).ListServiceAccounts(ctx, &apiv1.ListServiceAccountsRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetServiceAccounts(), err)
}

func listAPIKeys(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.serviceAccountName("-")
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewAPIKeyServiceClient(s).ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetApiKeys(), err)
}

func listMembers(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.orgName()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewMemberServiceClient(s).ListMembers(ctx, &apiv1.ListMembersRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetMembers(), err)
}

func listInvitations(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.orgName()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewInvitationServiceClient(s).ListInvitations(ctx, &apiv1.ListInvitationsRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetInvitations(), err)
}

func listOperations(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.orgName()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewOperationServiceClient(s).ListOperations(ctx, &apiv1.ListOperationsRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetOperations(), err)
}

func listPlans(ctx context.Context, s *session, _ asked) ([]string, error) {
	r, err := apiv1.NewPlanServiceClient(s).ListPlans(ctx, &apiv1.ListPlansRequest{PageSize: pageSize})
	return idsOf(r.GetPlans(), err)
}

func listBrokers(ctx context.Context, s *session, _ asked) ([]string, error) {
	r, err := adminv1.NewBrokerServiceClient(s).ListBrokers(ctx, &adminv1.ListBrokersRequest{})
	return idsOf(r.GetBrokers(), err)
}

func listClusters(ctx context.Context, s *session, _ asked) ([]string, error) {
	r, err := adminv1.NewStockClusterServiceClient(s).ListStockClusters(ctx, &adminv1.ListStockClustersRequest{})
	return idsOf(r.GetStockClusters(), err)
}
