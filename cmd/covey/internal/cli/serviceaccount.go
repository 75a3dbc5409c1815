package cli

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) serviceAccountCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serviceaccount", Aliases: []string{"serviceaccounts", "sa"},
		Short: "Manage service accounts: who calls the API for an organization",
	}
	in := &scope{}
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.AddCommand(a.serviceAccountCreate(in), a.serviceAccountList(in), a.serviceAccountGet(in), a.serviceAccountUpdate(in), a.serviceAccountDelete(in))
	return cmd
}

// withServiceAccount runs f with a session and the full name of a service
// account.
func (a *App) withServiceAccount(flags scope, id string, f func(*session, scope, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.serviceAccountName(id)
		if err != nil {
			return err
		}
		return f(s, in, name)
	})
}

// bindings reads --role flags: a role, or a role and an account.
func bindings(in scope, roles []string) ([]*apiv1.RoleBinding, error) {
	var out []*apiv1.RoleBinding
	for _, text := range roles {
		role, account, narrow := strings.Cut(text, "@")
		b := &apiv1.RoleBinding{Role: role}
		if narrow {
			name, err := in.accountName(account)
			if err != nil {
				return nil, err
			}
			b.Account = name
		}
		out = append(out, b)
	}
	return out, nil
}

const roleUsage = "owner, admin, developer, billing or read-only; developer@orders on the account orders only; repeat for more"

func (a *App) serviceAccountCreate(in *scope) *cobra.Command {
	var roles []string
	var display string
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE[@ACCOUNT]", Short: "Create a service account; make it a key afterwards", Args: term.Exactly("NAME"),
		Example: "  covey serviceaccount create ci --role developer@orders",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withServiceAccount(*in, args[0], func(s *session, in scope, name string) error {
				sa, err := createServiceAccount(cmd.Context(), s, in, name, display, roles)
				if err != nil {
					return err
				}
				if err := a.show(sa, serviceAccountPairs(sa)...); err != nil {
					return err
				}
				a.streams.Sayf("\nNext: covey apikey create %s", lastSegment(name))
				return nil
			})
		},
	}
	cmd.Flags().StringArrayVar(&roles, "role", nil, roleUsage)
	cmd.Flags().StringVar(&display, "display-name", "", "name for people")
	return cmd
}

func createServiceAccount(ctx context.Context, s *session, in scope, name, display string, roles []string) (*apiv1.ServiceAccount, error) {
	bound, err := bindings(in, roles)
	if err != nil {
		return nil, err
	}
	parent, id := splitName(name)
	resp, err := apiv1.NewServiceAccountServiceClient(s).CreateServiceAccount(ctx, &apiv1.CreateServiceAccountRequest{
		Parent: parent, ServiceAccountId: id, RequestId: uuid.NewString(),
		ServiceAccount: &apiv1.ServiceAccount{DisplayName: display, RoleBindings: bound},
	})
	return resp.GetServiceAccount(), err
}

func (a *App) serviceAccountList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List an organization's service accounts", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.orgName()
				if err != nil {
					return err
				}
				client := apiv1.NewServiceAccountServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListServiceAccountsResponse, error) {
					return client.ListServiceAccounts(ctx, &apiv1.ListServiceAccountsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListServiceAccountsResponse).GetServiceAccounts)
				if err != nil {
					return err
				}
				return showList(a, "service_accounts", all, []string{"SERVICE ACCOUNT", "ROLES", "DISABLED", "CREATED"}, func(sa *apiv1.ServiceAccount) []string {
					return []string{lastSegment(sa.GetName()), bindingsText(sa.GetRoleBindings()), yesOr(sa.GetDisabled(), "no"), stamp(sa.GetCreateTime())}
				})
			})
		},
	}
}

func (a *App) serviceAccountGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "Show one service account", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withServiceAccount(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewServiceAccountServiceClient(s).GetServiceAccount(cmd.Context(), &apiv1.GetServiceAccountRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetServiceAccount(), serviceAccountPairs(resp.GetServiceAccount())...)
			})
		},
	}
}

func (a *App) serviceAccountUpdate(in *scope) *cobra.Command {
	var roles []string
	var display, etag string
	var disabled bool
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change what the flags name, and nothing else", Args: term.Exactly("NAME"),
		Example: "  covey serviceaccount update ci --disabled\n  covey serviceaccount update ci --role developer@orders --role read-only",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withServiceAccount(*in, args[0], func(s *session, in scope, name string) error {
				bound, err := bindings(in, roles)
				if err != nil {
					return err
				}
				mask := &fieldmaskpb.FieldMask{}
				for flag, path := range map[string]string{"role": "role_bindings", "display-name": "display_name", "disabled": "disabled"} {
					if cmd.Flags().Changed(flag) {
						mask.Paths = append(mask.Paths, path)
					}
				}
				if len(mask.GetPaths()) == 0 {
					return term.Usagef("see `covey serviceaccount update --help`", "nothing to change")
				}
				resp, err := apiv1.NewServiceAccountServiceClient(s).UpdateServiceAccount(cmd.Context(), &apiv1.UpdateServiceAccountRequest{
					ServiceAccount: &apiv1.ServiceAccount{Name: name, DisplayName: display, RoleBindings: bound, Disabled: disabled, Etag: etag},
					UpdateMask:     mask, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.show(resp.GetServiceAccount(), serviceAccountPairs(resp.GetServiceAccount())...)
			})
		},
	}
	cmd.Flags().StringArrayVar(&roles, "role", nil, "replaces all roles: "+roleUsage)
	cmd.Flags().StringVar(&display, "display-name", "", "name for people")
	cmd.Flags().BoolVar(&disabled, "disabled", false, "refuse all its keys; --disabled=false accepts them again")
	cmd.Flags().StringVar(&etag, "etag", "", "refuse if it is no longer at this etag")
	return cmd
}

func (a *App) serviceAccountDelete(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "End a service account and all its keys", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withServiceAccount(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewServiceAccountServiceClient(s).DeleteServiceAccount(cmd.Context(), &apiv1.DeleteServiceAccountRequest{
					Name: name, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.show(resp, deletedPairs(name, nil)...)
			})
		},
	}
}

func serviceAccountPairs(sa *apiv1.ServiceAccount) []term.Pair {
	return []term.Pair{
		{Name: "service account", Value: sa.GetName()},
		{Name: "display name", Value: sa.GetDisplayName()},
		{Name: "roles", Value: orElse(bindingsText(sa.GetRoleBindings()), "none")},
		{Name: "disabled", Value: yesOr(sa.GetDisabled(), "")},
		{Name: "created", Value: stamp(sa.GetCreateTime())},
	}
}

func bindingsText(bindings []*apiv1.RoleBinding) string {
	var texts []string
	for _, b := range bindings {
		text := b.GetRole()
		if b.GetAccount() != "" {
			text += "@" + lastSegment(b.GetAccount())
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

func yesOr(b bool, otherwise string) string {
	if b {
		return "yes"
	}
	return otherwise
}
