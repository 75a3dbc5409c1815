package cli

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) userCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "user", Aliases: []string{"users"}, Short: "Manage users: the identities inside an account"}
	in := &scope{}
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.PersistentFlags().StringVar(&in.account, "account", "", "account (default: the context's)")
	cmd.AddCommand(a.userCreate(in), a.userList(in), a.userGet(in), a.userUpdate(in),
		a.userSuspend(in), a.userResume(in), a.userDelete(in))
	return cmd
}

func (a *App) withUser(flags scope, id string, f func(*session, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.userName(id)
		if err != nil {
			return err
		}
		return f(s, name)
	})
}

// userFields is the flags for what a caller may write of a user.
type userFields struct {
	displayName, role string
	rules             ruleFlags
	limits            limitFields
}

func (f *userFields) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.displayName, "display-name", "", "name for people")
	cmd.Flags().StringVar(&f.role, "role", "", "role whose permissions apply (default: the account's)")
	f.rules.flags(cmd)
	f.limits.flags(cmd)
	for _, rule := range ruleFlagNames() {
		cmd.MarkFlagsMutuallyExclusive("role", rule)
	}
}

// message returns the fields, and the mask of those whose flags were given.
func (f *userFields) message(cmd *cobra.Command) (*apiv1.User, *fieldmaskpb.FieldMask, error) {
	mask := &fieldmaskpb.FieldMask{}
	for _, field := range []struct {
		path  string
		given bool
	}{
		{"display_name", cmd.Flags().Changed("display-name")}, {"role", cmd.Flags().Changed("role")}, {"permissions", f.rules.given(cmd)},
	} {
		if field.given {
			mask.Paths = append(mask.Paths, field.path)
		}
	}
	limits, err := f.limits.message(cmd, mask)
	return &apiv1.User{DisplayName: f.displayName, Role: f.role, Permissions: f.rules.message(), Limits: limits}, mask, err
}

func (a *App) userCreate(in *scope) *cobra.Command {
	var fields userFields
	var from string
	cmd := &cobra.Command{
		Use: "create USER", Short: "Create a user; issue it a credential afterwards", Args: term.Between(0, "USER"),
		Example: "  covey user create billing --allow-pub 'invoices.>' --allow-sub '_INBOX.>'\n  covey user create --from tills.txt --role till",
		RunE: func(cmd *cobra.Command, args []string) error {
			user, _, err := fields.message(cmd)
			if err != nil {
				return err
			}
			if (from == "") == (len(args) == 0) {
				return term.Usagef("usage: "+cmd.UseLine(), "either USER or --from FILE is needed")
			}
			if from != "" {
				ids, err := a.readIDs(from)
				if err != nil {
					return err
				}
				return a.withScope(*in, func(s *session, in scope) error {
					parent, err := in.defaultAccount()
					if err != nil {
						return err
					}
					return a.createUsers(cmd.Context(), s, parent, ids, user)
				})
			}
			return a.withUser(*in, args[0], func(s *session, name string) error {
				parent, id := splitName(name)
				resp, err := apiv1.NewUserServiceClient(s).CreateUser(cmd.Context(), &apiv1.CreateUserRequest{
					Parent: parent, UserId: id, User: user, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				if err := a.show(resp, userPairs(resp.GetUser())...); err != nil {
					return err
				}
				a.streams.Sayf("\nNext: covey creds issue %s", name)
				return nil
			})
		},
	}
	fields.flags(cmd)
	cmd.Flags().StringVar(&from, "from", "", "file of user ids, one a line, who are all made alike; - for standard input")
	return cmd
}

func (a *App) userList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List an account's users", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.defaultAccount()
				if err != nil {
					return err
				}
				client := apiv1.NewUserServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListUsersResponse, error) {
					return client.ListUsers(ctx, &apiv1.ListUsersRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListUsersResponse).GetUsers)
				if err != nil {
					return err
				}
				return showList(a, "users", all, []string{"USER", "STATE", "ROLE", "DISPLAY NAME", "CREATED"}, func(u *apiv1.User) []string {
					return []string{lastSegment(u.GetName()), stateWord(u.GetState()), u.GetRole(), u.GetDisplayName(), stamp(u.GetCreateTime())}
				})
			})
		},
	}
}

func (a *App) userGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get USER", Short: "Show one user", Args: term.Exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewUserServiceClient(s).GetUser(cmd.Context(), &apiv1.GetUserRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetUser(), userPairs(resp.GetUser())...)
			})
		},
	}
}

func (a *App) userDelete(in *scope) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "delete USER", Short: "End a user and revoke all its credentials", Args: term.Exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewUserServiceClient(s).DeleteUser(cmd.Context(), &apiv1.DeleteUserRequest{
					Name: name, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				resp.Operation, err = w.settle(cmd.Context(), a, s, resp.GetOperation())
				return errors.Join(a.show(resp, deletedPairs(name, resp.GetOperation())...), err)
			})
		},
	}
	w.flags(cmd, true)
	return cmd
}

func userPairs(u *apiv1.User) []term.Pair {
	pairs := []term.Pair{
		{Name: "user", Value: u.GetName()},
		{Name: "display name", Value: u.GetDisplayName()},
		{Name: "state", Value: stateWord(u.GetState())},
		{Name: "role", Value: u.GetRole()},
	}
	pairs = append(pairs, permissionPairs(u.GetPermissions())...)
	pairs = append(pairs, limitPairs(u.GetLimits())...)
	return append(pairs, term.Pair{Name: "created", Value: stamp(u.GetCreateTime())})
}
