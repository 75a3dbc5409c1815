package cli

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) roleCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "role", Aliases: []string{"roles"}, Short: "Manage roles: permissions that users share, and the keys that sign them"}
	in := &scope{}
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.PersistentFlags().StringVar(&in.account, "account", "", "account (default: the context's)")
	cmd.AddCommand(a.roleCreate(in), a.roleList(in), a.roleGet(in), a.roleUpdate(in), a.roleDelete(in))
	return cmd
}

func (a *App) withRole(flags scope, id string, f func(*session, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.roleName(id)
		if err != nil {
			return err
		}
		return f(s, name)
	})
}

// roleFields is the flags for what a caller may write of a role.
type roleFields struct {
	rules   ruleFlags
	display string
	maxTTL  time.Duration
	limits  limitFields
}

func (f *roleFields) flags(cmd *cobra.Command) {
	f.rules.flags(cmd)
	cmd.Flags().StringVar(&f.display, "display-name", "", "name for people")
	f.limits.flags(cmd)
	cmd.Flags().DurationVar(&f.maxTTL, "max-credential-ttl", 0, "longest life of its credentials; 0 sets no bound")
}

// message returns the fields, and the mask of those whose flags were given.
func (f *roleFields) message(cmd *cobra.Command) (*apiv1.Role, *fieldmaskpb.FieldMask, error) {
	if f.maxTTL < 0 || f.maxTTL%time.Second != 0 {
		return nil, nil, term.Usagef("for example 720h", "--max-credential-ttl %s is not a number of whole seconds", f.maxTTL)
	}
	mask := &fieldmaskpb.FieldMask{}
	if cmd.Flags().Changed("display-name") {
		mask.Paths = append(mask.Paths, "display_name")
	}
	if f.rules.given(cmd) {
		mask.Paths = append(mask.Paths, "permissions")
	}
	if cmd.Flags().Changed("max-credential-ttl") {
		mask.Paths = append(mask.Paths, "max_credential_ttl_seconds")
	}
	limits, err := f.limits.message(cmd, mask)
	return &apiv1.Role{
		DisplayName: f.display, MaxCredentialTtlSeconds: int64(f.maxTTL / time.Second), Permissions: f.rules.message(), Limits: limits,
	}, mask, err
}

// roleChanged is the answer of a write to a role.
type roleChanged interface {
	changedMessage
	GetRole() *apiv1.Role
}

// roleChange waits as the flags say and prints what the role is now, even when
// the brokers took too long: the change itself happened.
func (a *App) roleChange(ctx context.Context, s *session, w *waiting, resp roleChanged, err error) error {
	if err != nil {
		return err
	}
	op, waitErr := w.settle(ctx, a, s, resp.GetOperation())
	setOperation(resp, op)
	return errors.Join(a.show(resp, append(rolePairs(resp.GetRole()), operationPairs(op)...)...), waitErr)
}

func (a *App) roleCreate(in *scope) *cobra.Command {
	var fields roleFields
	var w waiting
	cmd := &cobra.Command{
		Use: "create ROLE", Short: "Create a role with its first key; without rules it allows everything in the account", Args: term.Exactly("ROLE"),
		Example: "  covey role create shop --allow-pub 'orders.>' --allow-sub '_INBOX.>'",
		RunE: func(cmd *cobra.Command, args []string) error {
			role, _, err := fields.message(cmd)
			if err != nil {
				return err
			}
			return a.withRole(*in, args[0], func(s *session, name string) error {
				parent, id := splitName(name)
				resp, err := apiv1.NewRoleServiceClient(s).CreateRole(cmd.Context(), &apiv1.CreateRoleRequest{
					Parent: parent, RoleId: id, Role: role, RequestId: uuid.NewString(),
				})
				return a.roleChange(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	fields.flags(cmd)
	w.flags(cmd, false)
	return cmd
}

func (a *App) roleList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List an account's roles", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.defaultAccount()
				if err != nil {
					return err
				}
				client := apiv1.NewRoleServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListRolesResponse, error) {
					return client.ListRoles(ctx, &apiv1.ListRolesRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListRolesResponse).GetRoles)
				if err != nil {
					return err
				}
				return showList(a, "roles", all, []string{"ROLE", "DISPLAY NAME", "SIGNS WITH", "CREATED"}, func(r *apiv1.Role) []string {
					active := ""
					for _, k := range r.GetKeys() {
						if k.GetState() == apiv1.SigningKey_STATE_ACTIVE {
							active = k.GetPublicKey()
						}
					}
					return []string{lastSegment(r.GetName()), r.GetDisplayName(), active, stamp(r.GetCreateTime())}
				})
			})
		},
	}
}

func (a *App) roleGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get ROLE", Short: "Show one role and its keys", Args: term.Exactly("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withRole(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewRoleServiceClient(s).GetRole(cmd.Context(), &apiv1.GetRoleRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetRole(), rolePairs(resp.GetRole())...)
			})
		},
	}
}

func (a *App) roleUpdate(in *scope) *cobra.Command {
	var fields roleFields
	var w waiting
	var etag string
	cmd := &cobra.Command{
		Use: "update ROLE", Short: "Change what the flags name; rules are replaced as a whole", Args: term.Exactly("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			role, mask, err := fields.message(cmd)
			if err != nil {
				return err
			}
			if len(mask.GetPaths()) == 0 {
				return term.Usagef("see `covey role update --help`", "nothing to change")
			}
			return a.withRole(*in, args[0], func(s *session, name string) error {
				role.Name, role.Etag = name, etag
				resp, err := apiv1.NewRoleServiceClient(s).UpdateRole(cmd.Context(), &apiv1.UpdateRoleRequest{
					Role: role, UpdateMask: mask, RequestId: uuid.NewString(),
				})
				return a.roleChange(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	fields.flags(cmd)
	fields.rules.allowAllFlag(cmd)
	cmd.Flags().StringVar(&etag, "etag", "", "refuse if the role is no longer at this etag")
	w.flags(cmd, true)
	return cmd
}

func (a *App) roleDelete(in *scope) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "delete ROLE", Short: "End a role that no user has, and refuse what its keys signed", Args: term.Exactly("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withRole(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewRoleServiceClient(s).DeleteRole(cmd.Context(), &apiv1.DeleteRoleRequest{Name: name, RequestId: uuid.NewString()})
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

func rolePairs(r *apiv1.Role) []term.Pair {
	pairs := []term.Pair{
		{Name: "role", Value: r.GetName()},
		{Name: "display name", Value: r.GetDisplayName()},
	}
	if r.GetPermissions() == nil {
		pairs = append(pairs, term.Pair{Name: "may", Value: "everything in the account"})
	}
	pairs = append(pairs, permissionPairs(r.GetPermissions())...)
	if ttl := r.GetMaxCredentialTtlSeconds(); ttl > 0 {
		pairs = append(pairs, term.Pair{Name: "credential life at most", Value: (time.Duration(ttl) * time.Second).String()})
	}
	pairs = append(pairs, limitPairs(r.GetLimits())...)
	for _, k := range r.GetKeys() {
		pairs = append(pairs, term.Pair{Name: "key " + k.GetPublicKey(), Value: stateWord(k.GetState())})
	}
	return pairs
}
