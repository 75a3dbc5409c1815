package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// invite is the flags of `covey member invite`.
type invite struct {
	id, out string
	roles   []string
	ttl     time.Duration
	force   bool
}

func (a *App) memberInvite(in *scope) *cobra.Command {
	var i invite
	cmd := &cobra.Command{
		Use: "invite E-MAIL --role ROLE[@ACCOUNT]", Short: "Make an invitation and print its token, once", Args: term.Exactly("E-MAIL"),
		Long: `Make an invitation and print its token, once. Hand the token on yourself:
nobody is written to. Whoever has it becomes the member, once, with
` + "`covey member accept`" + `.`,
		Example: "  covey member invite ann@acme.example --role developer@orders --out ann.invitation",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.invite(cmd.Context(), *in, args[0], i) },
	}
	f := cmd.Flags()
	f.StringVar(&i.id, "id", "", "the member's id (default: the address up to its @)")
	f.StringArrayVar(&i.roles, "role", nil, roleUsage)
	f.DurationVar(&i.ttl, "ttl", 0, "how long it can be accepted (default 168h, at most 720h)")
	f.StringVar(&i.out, "out", "", "write the token to this file, 0600, instead of printing it")
	f.BoolVar(&i.force, "force", false, "replace a file that exists")
	return cmd
}

func (a *App) invite(ctx context.Context, flags scope, email string, i invite) error {
	if i.ttl < 0 || i.ttl%time.Second != 0 {
		return term.Usagef("for example 72h", "--ttl %s is not a number of whole seconds", i.ttl)
	}
	if len(i.roles) == 0 {
		return term.Usagef("for example --role developer", "--role is missing")
	}
	place, err := i.reserve(a)
	if err != nil {
		return err
	}
	defer place.discard()
	return a.withScope(flags, func(s *session, in scope) error {
		parent, err := in.orgName()
		if err != nil {
			return err
		}
		bound, err := bindings(in, i.roles)
		if err != nil {
			return err
		}
		resp, err := apiv1.NewInvitationServiceClient(s).CreateInvitation(ctx, &apiv1.CreateInvitationRequest{
			Parent: parent, Email: email, MemberId: orElse(i.id, idFromEmail(email)), RoleBindings: bound,
			TtlSeconds: int64(i.ttl / time.Second), RequestId: uuid.NewString(),
		})
		if err != nil {
			return err
		}
		return i.report(a, s, place, resp)
	})
}

func (i invite) reserve(a *App) (*reserved, error) {
	if i.out == "" {
		return &reserved{}, nil
	}
	if !i.force {
		if err := refuseExisting(i.out); err != nil {
			return nil, err
		}
	}
	store, err := a.Store()
	if err != nil {
		return nil, err
	}
	return reserve(store, i.out)
}

func (i invite) report(a *App, s *session, place *reserved, resp *apiv1.CreateInvitationResponse) error {
	token, path := resp.GetToken(), ""
	if i.out != "" {
		written, err := place.write(i.out, token+"\n", i.force)
		if err != nil {
			return term.Partialf("nobody can accept it now: `covey member revoke "+lastSegment(resp.GetInvitation().GetName())+"`, and invite again once the cause is gone",
				"write the token: %w", err)
		}
		token, path = "", written
	}
	if a.streams.JSON {
		raw, err := messageJSON(resp.GetInvitation())
		if err != nil {
			return err
		}
		return a.streams.PrintJSON(struct {
			Invitation any    `json:"invitation"`
			File       string `json:"file,omitempty"`
			Token      string `json:"token,omitempty"`
		}{raw, path, token})
	}
	file := orElse(path, "FILE")
	a.streams.Sayf("%s for %s, until %s. It is accepted with\n  covey member accept --api-addr %s --token-file %s",
		lastSegment(resp.GetInvitation().GetName()), term.Clean(resp.GetInvitation().GetEmail()), stamp(resp.GetInvitation().GetExpireTime()), s.ctx.APIAddr, file)
	if path != "" {
		return a.streams.Describe(append(invitationPairs(resp.GetInvitation()), term.Pair{Name: "file", Value: filepath.Clean(path)})...)
	}
	a.streams.Sayf("This is the only time that the token is shown:")
	if _, err := fmt.Fprintln(a.streams.Out, token); err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	return nil
}

// idFromEmail makes an id of an address's local part: what an id may not hold
// becomes a hyphen. Whether the rest is well-formed is the server's to say.
func idFromEmail(email string) string {
	local, _, _ := strings.Cut(email, "@")
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(local))
	return strings.Trim(id, "-")
}

// accept is the flags of `covey member accept`.
type accept struct {
	server            contexts.Context // addresses of the control plane
	tokenFile         string
	display, contextN string
	ttl               time.Duration
	force             bool
}

func (a *App) memberAccept() *cobra.Command {
	var x accept
	cmd := &cobra.Command{
		Use: "accept", Short: "Accept an invitation: a member, a key, and a context that has it", Args: term.Exactly(),
		Long: `Accept an invitation. The token is read from --token-file, or from standard
input. The key that the member gets is kept in a context named like the
organization, which becomes the selected one.`,
		Example: "  covey member accept --api-addr api.example:7422 --token-file ann.invitation",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.accept(cmd.Context(), x) },
	}
	f := cmd.Flags()
	f.StringVar(&x.server.APIAddr, "api-addr", "", "gRPC address of the control plane, host:port (default: the context's)")
	f.StringVar(&x.server.CA, "ca", "", "PEM file of the API's certificate authority")
	f.StringVar(&x.server.NATSURL, "nats-url", "", "brokers' address, kept in the context")
	f.StringVar(&x.tokenFile, "token-file", "-", "file with the invitation's token; - reads standard input")
	f.StringVar(&x.display, "display-name", "", "your name for people")
	f.StringVar(&x.contextN, "context-name", "", "name of the context to make (default: the organization's id)")
	f.DurationVar(&x.ttl, "ttl", 0, "how long the key lives (default 2160h, at most 8784h)")
	f.BoolVar(&x.force, "force", false, "replace a context that exists")
	return cmd
}

func (a *App) accept(ctx context.Context, x accept) error {
	if x.ttl < 0 || x.ttl%time.Second != 0 {
		return term.Usagef("for example 2160h", "--ttl %s is not a number of whole seconds", x.ttl)
	}
	if x.server.APIAddr == "" {
		c, err := a.OptionalContext()
		if err != nil {
			return err
		}
		if c == nil {
			return term.Usagef("for example --api-addr api.example:7422", "--api-addr is missing")
		}
		x.server = contexts.Context{Installation: c.Installation, APIAddr: c.APIAddr, HTTPURL: c.HTTPURL, NATSURL: orElse(x.server.NATSURL, c.NATSURL), CA: orElse(x.server.CA, c.CA)}
	}
	token, err := a.readSecret(x.tokenFile, "invitation")
	if err != nil {
		return err
	}
	s, err := a.dial(&x.server)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	client := apiv1.NewInvitationServiceClient(s)
	req := &apiv1.AcceptInvitationRequest{
		Token: token.Reveal(), DisplayName: x.display, KeyTtlSeconds: int64(x.ttl / time.Second), RequestId: uuid.NewString(),
	}
	return a.acceptInto(ctx, client, req, x)
}

// acceptInto finds out by a dry run whose the invitation is and makes sure of
// the context's place; the key is in one answer only.
func (a *App) acceptInto(ctx context.Context, client apiv1.InvitationServiceClient, req *apiv1.AcceptInvitationRequest, x accept) error {
	tried, err := client.AcceptInvitation(ctx, &apiv1.AcceptInvitationRequest{
		Token: req.GetToken(), DisplayName: req.GetDisplayName(), KeyTtlSeconds: req.GetKeyTtlSeconds(), ValidateOnly: true,
	})
	if err != nil {
		return err
	}
	store, err := a.Store()
	if err != nil {
		return err
	}
	c := x.server
	c.Organization = strings.Split(tried.GetMember().GetName()+"/", "/")[1]
	c.Name, c.Role = orElse(x.contextN, c.Organization), contexts.RoleMember
	if !contexts.ValidName(c.Name) {
		return term.Usagef("", "%w: %q", contexts.ErrName, c.Name)
	}
	if store.Exists(c.Name) && !x.force {
		return term.Failf("choose another name with --context-name, or replace it with --force", "a context named %q exists", c.Name)
	}
	place, err := reserve(store, "")
	if err != nil {
		return term.Failf("nothing was accepted", "make sure of the context's place: %w", err)
	}
	defer place.discard()
	resp, err := client.AcceptInvitation(ctx, req)
	if err != nil {
		return err
	}
	c.APIKey = contexts.NewAPIKey(resp.GetApiKey())
	if err := store.Put(&c); err != nil {
		return term.Partialf("you are a member and your key is lost; ask to be removed and invited again", "keep the key: %w", err)
	}
	if err := store.Use(c.Name); err != nil {
		return term.Partialf("select it with `covey context use "+c.Name+"`", "select the new context: %w", err)
	}
	m := resp.GetMember()
	return a.show(m, append(memberPairs(m), term.Pair{Name: "key expires", Value: stamp(resp.GetKeyExpireTime())}, term.Pair{Name: "context", Value: c.Name + " (selected)"})...)
}

func (a *App) memberInvitations(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "invitations", Short: "List invitations, newest first", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.orgName()
				if err != nil {
					return err
				}
				client := apiv1.NewInvitationServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListInvitationsResponse, error) {
					return client.ListInvitations(ctx, &apiv1.ListInvitationsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListInvitationsResponse).GetInvitations)
				if err != nil {
					return err
				}
				return showList(a, "invitations", all, []string{"INVITATION", "MEMBER", "E-MAIL", "ROLES", "STATE", "EXPIRES"}, func(i *apiv1.Invitation) []string {
					return []string{
						lastSegment(i.GetName()), i.GetMemberId(), i.GetEmail(), bindingsText(i.GetRoleBindings()),
						stateWord(i.GetState()), stamp(i.GetExpireTime()),
					}
				})
			})
		},
	}
}

func (a *App) memberRevoke(in *scope) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "revoke INVITATION", Short: "End an invitation that is not accepted yet", Args: term.Exactly("INVITATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				name, err := in.invitationName(args[0])
				if err != nil {
					return err
				}
				resp, err := apiv1.NewInvitationServiceClient(s).RevokeInvitation(cmd.Context(), &apiv1.RevokeInvitationRequest{
					Name: name, Reason: reason, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.show(resp.GetInvitation(), invitationPairs(resp.GetInvitation())...)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return cmd
}

func invitationPairs(i *apiv1.Invitation) []term.Pair {
	return []term.Pair{
		{Name: "invitation", Value: i.GetName()},
		{Name: "member", Value: i.GetMemberId()},
		{Name: "e-mail", Value: i.GetEmail()},
		{Name: "roles", Value: bindingsText(i.GetRoleBindings())},
		{Name: "state", Value: stateWord(i.GetState())},
		{Name: "expires", Value: stamp(i.GetExpireTime())},
	}
}
