package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) orgCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "org", Aliases: []string{"orgs", "organization"}, Short: "See organizations, and leave with all of one"}
	cmd.AddCommand(a.orgList(), a.orgGet(), a.orgPlan(), a.orgExport())
	return cmd
}

func (a *App) orgList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the organizations that the context's key may see", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSession(func(s *session) error {
				client := apiv1.NewOrganizationServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListOrganizationsResponse, error) {
					return client.ListOrganizations(ctx, &apiv1.ListOrganizationsRequest{PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListOrganizationsResponse).GetOrganizations)
				if err != nil {
					return err
				}
				return showList(a, "organizations", all, []string{"ORGANIZATION", "DISPLAY NAME", "CONTACT", "STATE", "CREATED"},
					func(o *apiv1.Organization) []string {
						return []string{lastSegment(o.GetName()), o.GetDisplayName(), o.GetContactEmail(), stateWord(o.GetState()), stamp(o.GetCreateTime())}
					})
			})
		},
	}
}

func (a *App) orgGet() *cobra.Command {
	return &cobra.Command{
		Use: "get [ORGANIZATION]", Short: "Show one organization (default: the context's)", Args: term.Between(0, "ORGANIZATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var flags scope
			if len(args) == 1 {
				if args[0] == "" {
					return term.Usagef("ids are lower-case letters, digits and '-', from a letter on", "the organization id is empty")
				}
				flags.org = args[0]
			}
			return a.withScope(flags, func(s *session, in scope) error {
				name, err := in.orgName()
				if err != nil {
					return err
				}
				resp, err := apiv1.NewOrganizationServiceClient(s).GetOrganization(cmd.Context(), &apiv1.GetOrganizationRequest{Name: name})
				if err != nil {
					return err
				}
				o := resp.GetOrganization()
				return a.show(o, term.Pair{Name: "organization", Value: o.GetName()}, term.Pair{Name: "display name", Value: o.GetDisplayName()},
					term.Pair{Name: "contact", Value: o.GetContactEmail()}, term.Pair{Name: "state", Value: stateWord(o.GetState())},
					term.Pair{Name: "created", Value: stamp(o.GetCreateTime())})
			})
		},
	}
}
