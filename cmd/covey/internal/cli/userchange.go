package cli

import (
	"context"
	"errors"
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// userChanged is the answer of a write to a user.
type userChanged interface {
	changedMessage
	GetUser() *apiv1.User
}

// userChange waits as the flags say and prints what the user is now, even when
// the brokers took too long: the change itself happened.
func (a *App) userChange(ctx context.Context, s *session, w *waiting, resp userChanged, err error, more ...term.Pair) error {
	if err != nil {
		return err
	}
	op, waitErr := w.settle(ctx, a, s, resp.GetOperation())
	setOperation(resp, op)
	pairs := append(userPairs(resp.GetUser()), more...)
	return errors.Join(a.show(resp, append(pairs, operationPairs(op)...)...), waitErr)
}

func (a *App) userUpdate(in *scope) *cobra.Command {
	var fields userFields
	var w waiting
	var keep, dryRun bool
	var etag, from string
	cmd := &cobra.Command{
		Use: "update USER...", Short: "Change what the flags name; rules are replaced as a whole", Args: cobra.ArbitraryArgs,
		Long: `Change what the flags name. Rules are replaced as a whole, and a role and
rules take each other's place.

Credentials carry what their user might do when they were issued. When that
changes they are revoked, unless --keep-credentials leaves them until they
expire; --dry-run says how many.

Several users of one account are changed alike, up to 50 at once: each 50 whole
or not at all, with one operation.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			user, mask, err := fields.message(cmd)
			if err != nil {
				return err
			}
			if len(mask.GetPaths()) == 0 {
				return term.Usagef("see `covey user update --help`", "nothing to change")
			}
			ids, err := a.several(args, from, "USER")
			switch {
			case err != nil:
				return err
			case len(ids) == 0:
				return term.Usagef("usage: "+cmd.UseLine(), "USER is missing")
			case etag != "" && len(ids) > 1:
				return term.Usagef("leave it out, or change one user", "--etag is of one user")
			case len(ids) > 1:
				return a.withScope(*in, func(s *session, in scope) error {
					names, err := fullNames(ids, in.userName)
					if err != nil {
						return err
					}
					return a.updateUsers(cmd.Context(), s, &w, names, user, mask, keep)
				})
			}
			return a.withUser(*in, ids[0], func(s *session, name string) error {
				user.Name, user.Etag = name, etag
				resp, err := apiv1.NewUserServiceClient(s).UpdateUser(cmd.Context(), &apiv1.UpdateUserRequest{
					User: user, UpdateMask: mask, KeepCredentials: keep, ValidateOnly: dryRun, RequestId: uuid.NewString(),
				})
				return a.userChange(cmd.Context(), s, &w, resp, err,
					term.Pair{Name: credsRevoked, Value: strconv.Itoa(int(resp.GetRevokedCredentials()))})
			})
		},
	}
	fields.flags(cmd)
	cmd.Flags().BoolVar(&keep, "keep-credentials", false, "leave issued credentials as they are until they expire")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "change nothing; say what would change")
	cmd.Flags().StringVar(&etag, "etag", "", "refuse if the user is no longer at this etag")
	cmd.Flags().StringVar(&from, "from", "", "file of users, one a line; - for standard input")
	w.flags(cmd, true)
	return cmd
}

func (a *App) userSuspend(in *scope) *cobra.Command {
	var w waiting
	var reason string
	cmd := &cobra.Command{
		Use: "suspend USER", Short: "Disconnect a user's clients and refuse its credentials, reversibly", Args: term.Exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewUserServiceClient(s).SuspendUser(cmd.Context(), &apiv1.SuspendUserRequest{Name: name, Reason: reason, RequestId: uuid.NewString()})
				return a.userChange(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	w.flags(cmd, true)
	return cmd
}

func (a *App) userResume(in *scope) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "resume USER", Short: "Accept a suspended user's credentials again", Args: term.Exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewUserServiceClient(s).ResumeUser(cmd.Context(), &apiv1.ResumeUserRequest{Name: name, RequestId: uuid.NewString()})
				return a.userChange(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	w.flags(cmd, true)
	return cmd
}
