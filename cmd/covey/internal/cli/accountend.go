package cli

import (
	"errors"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) accountDelete(in *scope) *cobra.Command {
	var w waiting
	var keepFor retention
	cmd := &cobra.Command{
		Use: "delete ACCOUNT", Short: "Disconnect an account's clients; until its end it can be undeleted", Args: term.Exactly("ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &apiv1.DeleteAccountRequest{RequestId: uuid.NewString()}
			var err error
			if req.RetentionSeconds, err = keepFor.seconds(cmd); err != nil {
				return err
			}
			return a.withAccount(*in, args[0], func(s *session, name string) error {
				req.Name = name
				resp, err := apiv1.NewAccountServiceClient(s).DeleteAccount(cmd.Context(), req)
				if err := a.accountChanged(cmd.Context(), s, &w, resp, err); err != nil {
					return err
				}
				if a.dry {
					return nil
				}
				a.streams.Sayf("\nUntil %s: covey account undelete %s", stamp(resp.GetAccount().GetPurgeTime()), lastSegment(name))
				return nil
			})
		},
	}
	keepFor.flag(cmd, "168h")
	w.flags(cmd, true)
	return cmd
}

func (a *App) accountUndelete(in *scope) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "undelete ACCOUNT", Short: "Bring a deleted account back as it was", Args: term.Exactly("ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAccount(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewAccountServiceClient(s).UndeleteAccount(cmd.Context(), &apiv1.UndeleteAccountRequest{Name: name, RequestId: uuid.NewString()})
				return a.accountChanged(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	w.flags(cmd, true)
	return cmd
}

func (a *App) accountPurge(in *scope) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "purge ACCOUNT", Short: "End a deleted account for good, with all its users, credentials and keys", Args: term.Exactly("ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAccount(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewAccountServiceClient(s).PurgeAccount(cmd.Context(), &apiv1.PurgeAccountRequest{Name: name, RequestId: uuid.NewString()})
				if err != nil {
					return err
				}
				resp.Operation, err = w.settle(cmd.Context(), a, s, resp.GetOperation())
				return errors.Join(a.show(resp, append([]term.Pair{{Name: "purged", Value: name}}, operationPairs(resp.GetOperation())...)...), err)
			})
		},
	}
	w.flags(cmd, true)
	return cmd
}
