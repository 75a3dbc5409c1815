package cli

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) orgClose() *cobra.Command {
	var w waiting
	var keepFor retention
	req := &apiv1.CloseOrganizationRequest{}
	cmd := &cobra.Command{
		Use: "close [ORGANIZATION]", Short: "Disconnect all clients; until its end the organization can be undeleted", Args: term.Between(0, "ORGANIZATION"),
		Long: `Disconnect all clients of an organization, and refuse new ones and changes. Until
its end an owner can undelete it. Then its accounts, credentials, people and keys
are gone for good; its name, which nobody gets again, its audit log and what it
owes stay. ` + "`covey org export`" + ` takes everything along before.

It is refused while one of its accounts is protected from deletion.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if req.RetentionSeconds, err = keepFor.seconds(cmd); err != nil {
				return err
			}
			return a.withOrg(args, func(s *session, name string) error {
				req.Name, req.RequestId = name, uuid.NewString()
				resp, err := apiv1.NewOrganizationServiceClient(s).CloseOrganization(cmd.Context(), req)
				if err := a.orgChanged(cmd.Context(), s, &w, resp, err); err != nil || a.dry {
					return err
				}
				a.streams.Sayf("\nUntil %s: covey org undelete %s", stamp(resp.GetOrganization().GetPurgeTime()), lastSegment(name))
				return nil
			})
		},
	}
	keepFor.flag(cmd, "720h")
	cmd.Flags().StringVar(&req.Etag, "etag", "", "refuse if the organization is no longer at this etag")
	w.flags(cmd, true)
	return cmd
}

func (a *App) orgUndelete() *cobra.Command {
	var w waiting
	req := &apiv1.UndeleteOrganizationRequest{}
	cmd := &cobra.Command{
		Use: "undelete [ORGANIZATION]", Short: "Bring a closed organization back as it was", Args: term.Between(0, "ORGANIZATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOrg(args, func(s *session, name string) error {
				req.Name, req.RequestId = name, uuid.NewString()
				resp, err := apiv1.NewOrganizationServiceClient(s).UndeleteOrganization(cmd.Context(), req)
				return a.orgChanged(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	cmd.Flags().StringVar(&req.Etag, "etag", "", "refuse if the organization is no longer at this etag")
	w.flags(cmd, true)
	return cmd
}

// withOrg runs f with the organization of an optional argument, else the context's.
func (a *App) withOrg(args []string, f func(s *session, name string) error) error {
	flags := scope{}
	if len(args) == 1 {
		if flags.org = args[0]; flags.org == "" {
			return term.Usagef("ids are lower-case letters, digits and '-', from a letter on", "the organization id is empty")
		}
	}
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.orgName()
		if err != nil {
			return err
		}
		return f(s, name)
	})
}

// orgChanged waits as the flags say and prints what the organization is now.
func (a *App) orgChanged(ctx context.Context, s *session, w *waiting, resp standing, err error) error {
	if err != nil {
		return err
	}
	op, waitErr := w.settle(ctx, a, s, resp.GetOperation())
	setOperation(resp, op)
	return errors.Join(a.show(resp, append(orgPairs(resp.GetOrganization()), operationPairs(op)...)...), waitErr)
}
