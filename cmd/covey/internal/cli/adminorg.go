package cli

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) adminOrg() *cobra.Command {
	cmd := &cobra.Command{Use: "org", Aliases: []string{"organization"}, Short: "Suspend and resume organizations"}
	cmd.AddCommand(
		a.orgStanding("suspend", "Disconnect all clients of an organization and refuse new ones, reversibly",
			"Its members may still read. The reason is required; they see it.",
			func(ctx context.Context, s *session, name, reason string, dry bool) (standing, error) {
				return adminv1.NewOrganizationServiceClient(s).SuspendOrganization(ctx, &adminv1.SuspendOrganizationRequest{Name: name, Reason: reason, ValidateOnly: dry, RequestId: uuid.NewString()})
			}),
		a.orgStanding("resume", "Bring a suspended organization back as it was",
			"Accounts and users that are suspended themselves stay so.",
			func(ctx context.Context, s *session, name, reason string, dry bool) (standing, error) {
				return adminv1.NewOrganizationServiceClient(s).ResumeOrganization(ctx, &adminv1.ResumeOrganizationRequest{Name: name, Reason: reason, ValidateOnly: dry, RequestId: uuid.NewString()})
			}),
	)
	return cmd
}

// standing is the answer to a change of whether an organization is served.
type standing interface {
	proto.Message
	GetOrganization() *apiv1.Organization
	GetOperation() *apiv1.Operation
}

func (a *App) orgStanding(verb, short, long string, call func(ctx context.Context, s *session, name, reason string, dry bool) (standing, error)) *cobra.Command {
	var w waiting
	var reason string
	var dry bool
	cmd := &cobra.Command{
		Use: verb + " ORGANIZATION", Short: short, Long: short + ".\n" + long, Args: term.Exactly("ORGANIZATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withScope(scope{org: args[0]}, func(s *session, in scope) error {
				name, err := in.orgName()
				if err != nil {
					return err
				}
				r, err := call(cmd.Context(), s, name, reason, dry)
				if err != nil {
					return err
				}
				op, waited := w.settle(cmd.Context(), a, s, r.GetOperation())
				o := r.GetOrganization()
				pairs := append([]term.Pair{
					{Name: "organization", Value: o.GetName()}, {Name: "state", Value: stateWord(o.GetState())}, {Name: "reason", Value: orElse(o.GetSuspendReason(), "-")},
				}, operationPairs(op)...)
				if err := a.show(r, pairs...); err != nil {
					return err
				}
				return waited
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; its members see it")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check everything and change nothing")
	w.flags(cmd, true)
	return cmd
}
