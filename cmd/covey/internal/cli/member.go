package cli

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) memberCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "member", Aliases: []string{"members"}, Short: "Invite people into an organization, and manage them"}
	in := &scope{}
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.AddCommand(a.memberInvite(in), a.memberAccept(), a.memberInvitations(in), a.memberInvitation(in), a.memberRevoke(in),
		a.memberList(in), a.memberGet(in), a.memberSetRole(in), a.memberRemove(in))
	return cmd
}

// withMember runs f with a session and the full name of a member.
func (a *App) withMember(flags scope, id string, f func(*session, scope, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.memberName(id)
		if err != nil {
			return err
		}
		return f(s, in, name)
	})
}

func (a *App) memberList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List an organization's members", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.orgName()
				if err != nil {
					return err
				}
				client := apiv1.NewMemberServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListMembersResponse, error) {
					return client.ListMembers(ctx, &apiv1.ListMembersRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListMembersResponse).GetMembers)
				if err != nil {
					return err
				}
				return showList(a, "members", all, []string{"MEMBER", "E-MAIL", "ROLES", "SINCE"}, func(m *apiv1.Member) []string {
					return []string{lastSegment(m.GetName()), m.GetEmail(), orElse(bindingsText(m.GetRoleBindings()), "none"), stamp(m.GetCreateTime())}
				})
			})
		},
	}
}

func (a *App) memberGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get MEMBER", Short: "Show one member", Args: term.Exactly("MEMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withMember(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewMemberServiceClient(s).GetMember(cmd.Context(), &apiv1.GetMemberRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetMember(), memberPairs(resp.GetMember())...)
			})
		},
	}
}

func (a *App) memberSetRole(in *scope) *cobra.Command {
	var etag string
	cmd := &cobra.Command{
		Use: "set-role MEMBER ROLE[@ACCOUNT]...", Short: "Replace all roles of a member, from its next call on", Args: cobra.MinimumNArgs(2),
		Example: "  covey member set-role ann admin\n  covey member set-role ann developer@orders read-only",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withMember(*in, args[0], func(s *session, in scope, name string) error {
				bound, err := bindings(in, args[1:])
				if err != nil {
					return err
				}
				resp, err := apiv1.NewMemberServiceClient(s).UpdateMember(cmd.Context(), &apiv1.UpdateMemberRequest{
					Member:     &apiv1.Member{Name: name, RoleBindings: bound, Etag: etag},
					UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"role_bindings"}}, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.show(resp.GetMember(), memberPairs(resp.GetMember())...)
			})
		},
	}
	cmd.Flags().StringVar(&etag, "etag", "", "refuse if it is no longer at this etag")
	return cmd
}

func (a *App) memberRemove(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "remove MEMBER", Aliases: []string{"delete"}, Short: "Remove a member and end all its keys", Args: term.Exactly("MEMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withMember(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewMemberServiceClient(s).DeleteMember(cmd.Context(), &apiv1.DeleteMemberRequest{Name: name, RequestId: uuid.NewString()})
				if err != nil {
					return err
				}
				return a.show(resp, deletedPairs(name, nil)...)
			})
		},
	}
}

func memberPairs(m *apiv1.Member) []term.Pair {
	return []term.Pair{
		{Name: "member", Value: m.GetName()},
		{Name: "display name", Value: m.GetDisplayName()},
		{Name: "e-mail", Value: m.GetEmail()},
		{Name: "roles", Value: orElse(bindingsText(m.GetRoleBindings()), "none")},
		{Name: "since", Value: stamp(m.GetCreateTime())},
	}
}

func (a *App) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show whose key the context has, and what it may do", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSession(func(s *session) error {
				resp, err := apiv1.NewAccessServiceClient(s).GetCaller(cmd.Context(), &apiv1.GetCallerRequest{})
				if err != nil {
					return err
				}
				return a.show(resp, term.Pair{Name: "key", Value: resp.GetKeyId()}, term.Pair{Name: "of", Value: orElse(resp.GetHolder(), "the operator")},
					term.Pair{Name: "organization", Value: resp.GetOrganization()}, term.Pair{Name: "roles", Value: orElse(bindingsText(resp.GetRoleBindings()), "none")},
					term.Pair{Name: "expires", Value: orElse(stamp(resp.GetKeyExpireTime()), "never")})
			})
		},
	}
}
