package cli

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) orgCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "org", Aliases: []string{"orgs", "organization"}, Short: "See organizations, change what one says of itself, leave with all of it, and close it"}
	cmd.AddCommand(a.orgList(), a.orgGet(), a.orgUpdate(), a.orgPlan(), a.orgExport(), a.orgClose(), a.orgUndelete())
	return cmd
}

func (a *App) orgList() *cobra.Command {
	var ended bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the organizations that the context's key may see", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSession(func(s *session) error {
				client := apiv1.NewOrganizationServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListOrganizationsResponse, error) {
					return client.ListOrganizations(ctx, &apiv1.ListOrganizationsRequest{PageSize: pageSize, PageToken: token, ShowDeleted: ended})
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
	cmd.Flags().BoolVar(&ended, "show-deleted", false, "those that have ended, too")
	return cmd
}

func (a *App) orgGet() *cobra.Command {
	return &cobra.Command{
		Use: "get [ORGANIZATION]", Short: "Show one organization (default: the context's)", Args: term.Between(0, "ORGANIZATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOrg(args, func(s *session, name string) error {
				resp, err := apiv1.NewOrganizationServiceClient(s).GetOrganization(cmd.Context(), &apiv1.GetOrganizationRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetOrganization(), orgPairs(resp.GetOrganization())...)
			})
		},
	}
}

func orgPairs(o *apiv1.Organization) []term.Pair {
	pairs := []term.Pair{
		{Name: "organization", Value: o.GetName()},
		{Name: "display name", Value: o.GetDisplayName()},
		{Name: "contact", Value: o.GetContactEmail()},
		{Name: "state", Value: stateWord(o.GetState())},
		{Name: "created", Value: stamp(o.GetCreateTime())},
	}
	if o.GetPurgeTime() != nil {
		pairs = append(pairs, term.Pair{Name: "ends", Value: stamp(o.GetPurgeTime())})
	}
	return pairs
}

func (a *App) orgUpdate() *cobra.Command {
	to := &apiv1.Organization{}
	cmd := &cobra.Command{
		Use: "update [ORGANIZATION]", Short: "Change what an organization says of itself (default: the context's)", Args: term.Between(0, "ORGANIZATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			mask := &fieldmaskpb.FieldMask{}
			for flag, path := range map[string]string{"display-name": "display_name", "contact": "contact_email"} {
				if cmd.Flags().Changed(flag) {
					mask.Paths = append(mask.Paths, path)
				}
			}
			if len(mask.GetPaths()) == 0 {
				return term.Usagef("see `covey org update --help`", "nothing to change")
			}
			return a.withOrg(args, func(s *session, name string) error {
				to.Name = name
				resp, err := apiv1.NewOrganizationServiceClient(s).UpdateOrganization(cmd.Context(), &apiv1.UpdateOrganizationRequest{
					Organization: to, UpdateMask: mask, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.show(resp.GetOrganization(), orgPairs(resp.GetOrganization())...)
			})
		},
	}
	cmd.Flags().StringVar(&to.DisplayName, "display-name", "", "name for people")
	cmd.Flags().StringVar(&to.ContactEmail, "contact", "", "e-mail address that the operator's staff writes to")
	cmd.Flags().StringVar(&to.Etag, "etag", "", "refuse if the organization is no longer at this etag")
	return cmd
}
