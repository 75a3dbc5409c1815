package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) credsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "creds", Aliases: []string{"credentials"}, Short: "Issue and revoke credentials"}
	in := &scope{}
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.PersistentFlags().StringVar(&in.account, "account", "", "account (default: the context's)")
	cmd.AddCommand(a.credsIssue(in), a.credsList(in), a.credsShow(in), a.credsRenew(in), a.credsRevoke(in))
	return cmd
}

type issue struct {
	app       *App
	ttl       time.Duration
	publicKey string
	out       string
	outDir    string
	from      string
	force     bool
}

func (a *App) credsIssue(in *scope) *cobra.Command {
	i := &issue{app: a}
	cmd := &cobra.Command{
		Use: "issue [USER...]", Short: "Issue credentials and write their files, 0600", Args: cobra.ArbitraryArgs,
		Long: `Issue a credential for a user (default: the context's) and write its file, 0600.

With --public-key the caller keeps the seed: the signed JWT is printed, or
written to --out, and no secret is made.

For several users of one account, up to 30 at once: each 30 are issued whole or
not at all. No file is replaced without --force, and room for all files of a part
is made before it is issued.`,
		Example: "  covey creds issue\n  covey creds issue --from tills.txt --out-dir creds --ttl 720h",
		RunE: func(cmd *cobra.Command, args []string) error {
			if i.ttl < 0 || i.ttl%time.Second != 0 {
				return term.Usagef("for example 720h", "--ttl %s is not a number of whole seconds", i.ttl)
			}
			ids, err := a.several(args, i.from, "USER")
			if err != nil {
				return err
			}
			return a.withScope(*in, func(s *session, in scope) error {
				if len(ids) < 2 && i.from == "" && i.outDir == "" {
					name, err := userOrDefault(in, ids)
					if err != nil {
						return err
					}
					return i.run(cmd.Context(), s, name)
				}
				if len(ids) == 0 {
					ids = []string{in.user}
				}
				users, err := fullNames(ids, in.userName)
				if err != nil {
					return err
				}
				return i.issueAll(cmd.Context(), s, users, i.outDir)
			})
		},
	}
	f := cmd.Flags()
	f.DurationVar(&i.ttl, "ttl", 0, "how long it lives (default: the account's)")
	f.StringVar(&i.publicKey, "public-key", "", "public user nkey that the caller made (U...)")
	f.StringVar(&i.out, "out", "", "file to write")
	f.StringVar(&i.outDir, "out-dir", "", "folder for the files of several (default: the contexts' own)")
	f.StringVar(&i.from, "from", "", "file of users, one a line; - for standard input")
	f.BoolVar(&i.force, "force", false, "replace a file that exists")
	return cmd
}

func userOrDefault(in scope, args []string) (string, error) {
	if len(args) == 1 {
		return in.userName(args[0])
	}
	return in.defaultUser()
}

func (i *issue) run(ctx context.Context, s *session, user string) error {
	req := &apiv1.IssueCredentialRequest{
		Parent: user, TtlSeconds: int64(i.ttl / time.Second), PublicKey: i.publicKey, RequestId: uuid.NewString(),
	}
	if i.app.dry || i.publicKey != "" && i.out == "" {
		resp, err := apiv1.NewCredentialServiceClient(s).IssueCredential(ctx, req)
		if err != nil {
			return err
		}
		return i.report(resp, "")
	}
	store, err := i.app.Store()
	if err != nil {
		return err
	}
	path := orElse(i.out, credsPath(store, user))
	if !i.force {
		if err := refuseExisting(path); err != nil {
			return err
		}
	}
	place, err := reserve(store, i.out)
	if err != nil {
		return err
	}
	defer place.discard()
	resp, err := apiv1.NewCredentialServiceClient(s).IssueCredential(ctx, req)
	if err != nil {
		return err
	}
	content := resp.GetCredsFile()
	if i.publicKey != "" {
		content = resp.GetJwt() + "\n"
	}
	written, err := place.write(path, content, i.force)
	if err != nil {
		return term.Partialf(
			"the credential is of no use now: `covey creds revoke "+resp.GetCredential().GetName()+"`, and issue another once the cause is gone",
			"write the credentials file: %w", err)
	}
	return i.report(resp, written)
}

func (i *issue) report(resp *apiv1.IssueCredentialResponse, path string) error {
	c, out := resp.GetCredential(), i.app.streams
	if i.app.dry {
		return i.app.show(resp, credentialPairs(c)...)
	}
	if out.JSON {
		raw, err := messageJSON(c)
		if err != nil {
			return err
		}
		return out.PrintJSON(struct {
			Credential any    `json:"credential"`
			CredsFile  string `json:"creds_file,omitempty"`
			JWT        string `json:"jwt,omitempty"`
		}{raw, path, jwtUnlessWritten(resp, path)})
	}
	if path == "" {
		if _, err := fmt.Fprintln(out.Out, resp.GetJwt()); err != nil {
			return fmt.Errorf("write jwt: %w", err)
		}
		return nil
	}
	return out.Describe(append(credentialPairs(c), term.Pair{Name: "file", Value: path})...)
}

func jwtUnlessWritten(resp *apiv1.IssueCredentialResponse, path string) string {
	if path != "" {
		return ""
	}
	return resp.GetJwt()
}

func (a *App) credsList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list [USER]", Short: "List what was issued to a user, newest first", Args: term.Between(0, "USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := userOrDefault(in, args)
				if err != nil {
					return err
				}
				client := apiv1.NewCredentialServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListCredentialsResponse, error) {
					return client.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListCredentialsResponse).GetCredentials)
				if err != nil {
					return err
				}
				return showList(a, "credentials", all, []string{"CREDENTIAL", "STATE", "PUBLIC KEY", "ISSUED", "EXPIRES", "LAST SEEN"},
					func(c *apiv1.Credential) []string {
						return []string{
							lastSegment(c.GetName()), stateWord(c.GetState()), c.GetPublicKey(), stamp(c.GetIssueTime()),
							stamp(c.GetExpireTime()), orElse(stamp(c.GetLastSeenTime()), "never"),
						}
					})
			})
		},
	}
}

func (a *App) credsShow(in *scope) *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use: "show CREDENTIAL", Short: "Show a credential, and when it was last seen", Args: term.Exactly("CREDENTIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags := *in
			flags.user = user
			return a.withScope(flags, func(s *session, in scope) error {
				name, err := in.credentialName(args[0])
				if err != nil {
					return err
				}
				resp, err := apiv1.NewCredentialServiceClient(s).GetCredential(cmd.Context(), &apiv1.GetCredentialRequest{Name: name})
				if err != nil {
					return err
				}
				c := resp.GetCredential()
				return a.show(c, append(credentialPairs(c),
					term.Pair{Name: "issued", Value: stamp(c.GetIssueTime())},
					term.Pair{Name: "issued by", Value: c.GetIssuerKey()},
					term.Pair{Name: "requested by", Value: c.GetRequester()},
					term.Pair{Name: "revoked", Value: stamp(c.GetRevokeTime())},
					term.Pair{Name: "last seen", Value: orElse(stamp(c.GetLastSeenTime()), "never")})...)
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "user (default: the context's)")
	return cmd
}

func (a *App) credsRevoke(in *scope) *cobra.Command {
	var w waiting
	var reason, user, from string
	cmd := &cobra.Command{
		Use: "revoke CREDENTIAL...", Short: "Disconnect credentials' clients and refuse them from now on", Args: cobra.ArbitraryArgs,
		Long: `Disconnect credentials' clients and refuse them from now on.

Several of one account are revoked up to 50 at once: each 50 whole or not at all,
with one operation.`,
		Example: "  covey creds revoke crd_1 crd_2 --user shop\n  covey creds list shop --filter 'last_seen_time != *' --json | jq -r '.credentials[].name' | covey creds revoke --from -",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := a.several(args, from, "CREDENTIAL")
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				return term.Usagef("usage: "+cmd.UseLine(), "CREDENTIAL is missing")
			}
			flags := *in
			flags.user = user
			return a.withScope(flags, func(s *session, in scope) error {
				names, err := fullNames(ids, in.credentialName)
				if err != nil {
					return err
				}
				if len(names) > 1 || from != "" {
					return a.revokeAll(cmd.Context(), s, &w, names, reason)
				}
				resp, err := apiv1.NewCredentialServiceClient(s).RevokeCredential(cmd.Context(), &apiv1.RevokeCredentialRequest{
					Name: names[0], Reason: reason, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				resp.Operation, err = w.settle(cmd.Context(), a, s, resp.GetOperation())
				pairs := append(credentialPairs(resp.GetCredential()), operationPairs(resp.GetOperation())...)
				return errors.Join(a.show(resp, pairs...), err)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	cmd.Flags().StringVar(&user, "user", "", "user (default: the context's)")
	cmd.Flags().StringVar(&from, "from", "", "file of credentials, one a line; - for standard input")
	w.flags(cmd, true)
	return cmd
}

func credentialPairs(c *apiv1.Credential) []term.Pair {
	return []term.Pair{
		{Name: "credential", Value: c.GetName()},
		{Name: "public key", Value: c.GetPublicKey()},
		{Name: "state", Value: stateWord(c.GetState())},
		{Name: "expires", Value: orElse(stamp(c.GetExpireTime()), "never")},
	}
}
