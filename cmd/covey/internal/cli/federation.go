package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) federationCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "federation", Short: "Exchange tokens of identity providers for credentials that live minutes"}
	in := accountFlags(cmd)
	cmd.AddCommand(a.federationCreate(in), a.federationList(in), a.federationGet(in), a.federationDelete(in), a.federationExchange(in))
	return cmd
}

// withPolicy runs f with a session and the full name of a federation policy.
func (a *App) withPolicy(flags scope, id string, f func(*session, scope, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.ofAccount(id, "federationPolicies", "federation policy")
		if err != nil {
			return err
		}
		return f(s, in, name)
	})
}

func (a *App) federationCreate(in *scope) *cobra.Command {
	p := &apiv1.FederationPolicy{}
	var user string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "create NAME --issuer URL --audience TEXT --claim NAME=VALUE --user USER", Short: "Take an issuer's tokens for a user", Args: term.Exactly("NAME"),
		Example: "  covey federation create ci --issuer https://token.actions.githubusercontent.com \\\n    --audience covey --claim repository=acme/shop --user shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			if ttl < 0 || ttl%time.Second != 0 {
				return term.Usagef("for example 10m", "--max-ttl %s is not a number of whole seconds", ttl)
			}
			p.MaxTtlSeconds = int64(ttl / time.Second)
			return a.withPolicy(*in, args[0], func(s *session, in scope, name string) error {
				var err error
				if p.User, err = in.userName(user); err != nil {
					return err
				}
				parent, id := splitName(name)
				resp, err := apiv1.NewFederationServiceClient(s).CreateFederationPolicy(cmd.Context(), &apiv1.CreateFederationPolicyRequest{
					Parent: parent, FederationPolicyId: id, FederationPolicy: p, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.show(resp.GetFederationPolicy(), policyPairs(resp.GetFederationPolicy())...)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.Issuer, "issuer", "", "the issuer, as its tokens name it")
	f.StringVar(&p.Audience, "audience", "", "whom tokens must be for")
	f.StringToStringVar(&p.Claims, "claim", nil, "what tokens must say; repeat for more")
	f.StringVar(&user, "user", "", "the user that credentials are of")
	f.DurationVar(&ttl, "max-ttl", 0, "the longest life of a credential (default 15m, at most 1h)")
	for _, name := range []string{"issuer", "audience", "claim", "user"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (a *App) federationList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the federation policies of an account", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.defaultAccount()
				if err != nil {
					return err
				}
				client := apiv1.NewFederationServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListFederationPoliciesResponse, error) {
					return client.ListFederationPolicies(ctx, &apiv1.ListFederationPoliciesRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListFederationPoliciesResponse).GetFederationPolicies)
				if err != nil {
					return err
				}
				return showList(a, "federation_policies", all, []string{"POLICY", "ISSUER", "AUDIENCE", "CLAIMS", "USER"}, func(p *apiv1.FederationPolicy) []string {
					return []string{lastSegment(p.GetName()), p.GetIssuer(), p.GetAudience(), claimsText(p.GetClaims()), lastSegment(p.GetUser())}
				})
			})
		},
	}
}

func claimsText(claims map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		all = append(all, name+"="+claims[name])
	}
	return strings.Join(all, ", ")
}

func (a *App) federationDelete(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Take no more tokens by a policy", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withPolicy(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewFederationServiceClient(s).DeleteFederationPolicy(cmd.Context(), &apiv1.DeleteFederationPolicyRequest{Name: name, RequestId: uuid.NewString()})
				if err != nil {
					return err
				}
				return a.show(resp, deletedPairs(name, nil)...)
			})
		},
	}
}

func (a *App) federationExchange(in *scope) *cobra.Command {
	var tokenFile, out string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "exchange NAME --creds-out FILE", Short: "Exchange a token for a credentials file; needs no API key", Args: term.Exactly("NAME"),
		Long: `Exchange a token of an identity provider for a credentials file that is good for
minutes. The key pair is made here; its seed goes nowhere but into the file,
which is replaced whole, 0600. Do it again before it ends.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if ttl < 0 || ttl%time.Second != 0 {
				return term.Usagef("for example 10m", "--ttl %s is not a number of whole seconds", ttl)
			}
			token, err := a.readToken(tokenFile)
			if err != nil {
				return err
			}
			return a.withPolicy(*in, args[0], func(s *session, _ scope, name string) error {
				return a.exchange(cmd.Context(), s, &apiv1.ExchangeTokenRequest{
					Name: name, Token: token, TtlSeconds: int64(ttl / time.Second), RequestId: uuid.NewString(),
				}, out)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&tokenFile, "token-file", "-", "file with the token; - reads standard input")
	f.StringVar(&out, "creds-out", "", "write the credentials file here")
	f.DurationVar(&ttl, "ttl", 0, "how long it is to live (default: the policy's longest)")
	_ = cmd.MarkFlagRequired("creds-out")
	return cmd
}

func (a *App) exchange(ctx context.Context, s *session, req *apiv1.ExchangeTokenRequest, out string) error {
	seed, err := accounts.NewUserKey()
	if err != nil {
		return err
	}
	if req.PublicKey, err = seed.PublicKey(); err != nil {
		return err
	}
	store, err := a.Store()
	if err != nil {
		return err
	}
	place, err := reserve(store, out)
	if err != nil {
		return err
	}
	defer place.discard()
	resp, err := apiv1.NewFederationServiceClient(s).ExchangeToken(ctx, req)
	if err != nil {
		return err
	}
	text, err := accounts.FormatCreds(resp.GetJwt(), seed)
	if err != nil {
		return fmt.Errorf("format credentials: %w", err)
	}
	path, err := place.write(out, text, true)
	if err != nil {
		return term.Partialf("exchange the token again once the cause is gone", "write the credentials file: %w", err)
	}
	c := resp.GetCredential()
	return a.show(c, term.Pair{Name: "credential", Value: c.GetName()}, term.Pair{Name: "expires", Value: stamp(c.GetExpireTime())}, term.Pair{Name: "file", Value: path})
}

func policyPairs(p *apiv1.FederationPolicy) []term.Pair {
	return []term.Pair{
		{Name: "policy", Value: p.GetName()},
		{Name: "issuer", Value: p.GetIssuer()},
		{Name: "audience", Value: p.GetAudience()},
		{Name: "claims", Value: claimsText(p.GetClaims())},
		{Name: "user", Value: p.GetUser()},
		{Name: "longest life", Value: (time.Duration(p.GetMaxTtlSeconds()) * time.Second).String()},
	}
}
