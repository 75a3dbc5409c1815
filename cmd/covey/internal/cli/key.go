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

func (a *App) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Aliases: []string{"keys"}, Short: "Rotate the signing keys of roles",
		Long: `Rotate the signing keys of roles.

  covey key stage ROLE            brokers learn the next key
  covey key promote ROLE          it signs from now on; the old one only verifies
  covey key dependents ROLE       which credentials the old one still carries
  covey key retire ROLE KEY       what the old one signed is refused

Clients stay connected until the key that signed them is retired. For a key
that leaked there is rotate-now.`,
	}
	in := &scope{}
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.PersistentFlags().StringVar(&in.account, "account", "", "account (default: the context's)")
	cmd.AddCommand(a.keyStage(in), a.keyPromote(in), a.keyRetire(in), a.keyRotateNow(in), a.keyDependents(in))
	return cmd
}

func (a *App) keyStage(in *scope) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "stage ROLE", Short: "Make the next key and tell brokers of it", Args: term.Exactly("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withRole(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewRoleServiceClient(s).StageKey(cmd.Context(), &apiv1.StageKeyRequest{Name: name, RequestId: uuid.NewString()})
				return a.roleChange(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	w.flags(cmd, true)
	return cmd
}

func (a *App) keyPromote(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "promote ROLE", Short: "Let the staged key sign from now on", Args: term.Exactly("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withRole(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewRoleServiceClient(s).PromoteKey(cmd.Context(), &apiv1.PromoteKeyRequest{Name: name, RequestId: uuid.NewString()})
				if err != nil {
					return err
				}
				return a.show(resp, rolePairs(resp.GetRole())...)
			})
		},
	}
}

// keyEnded is the answer of a write that ends a key.
type keyEnded interface {
	roleChanged
	GetDependents() []*apiv1.KeyDependent
	GetDependentCount() int32
}

func (a *App) keyRetire(in *scope) *cobra.Command {
	var e ending
	var force bool
	cmd := &cobra.Command{
		Use: "retire ROLE PUBLIC_KEY", Short: "Refuse what a key signed; refused itself while credentials depend on it", Args: term.Exactly("ROLE", "PUBLIC_KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withRole(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewRoleServiceClient(s).RetireKey(cmd.Context(), &apiv1.RetireKeyRequest{
					Name: name, PublicKey: args[1], Force: force, Reason: e.reason, RequestId: uuid.NewString(), ValidateOnly: e.dryRun,
				})
				return e.report(cmd.Context(), a, s, resp, err)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also while credentials depend on it")
	e.flags(cmd)
	return cmd
}

func (a *App) keyRotateNow(in *scope) *cobra.Command {
	var e ending
	cmd := &cobra.Command{
		Use: "rotate-now ROLE", Short: "For a key that leaked: a new one signs, and all that was signed is refused", Args: term.Exactly("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withRole(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewRoleServiceClient(s).RotateKeyNow(cmd.Context(), &apiv1.RotateKeyNowRequest{
					Name: name, Reason: e.reason, RequestId: uuid.NewString(), ValidateOnly: e.dryRun,
				})
				return e.report(cmd.Context(), a, s, resp, err)
			})
		},
	}
	e.flags(cmd)
	return cmd
}

// ending is the flags of a command that ends a key.
type ending struct {
	waiting

	reason string
	dryRun bool
}

func (e *ending) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&e.reason, "reason", "", "why, for the audit log")
	cmd.Flags().BoolVar(&e.dryRun, "dry-run", false, "change nothing; say which credentials would end")
	e.waiting.flags(cmd, true)
}

// report says which credentials ended with a key.
func (e *ending) report(ctx context.Context, a *App, s *session, resp keyEnded, err error) error {
	if err != nil {
		return err
	}
	op, waitErr := e.settle(ctx, a, s, resp.GetOperation())
	setOperation(resp, op)
	pairs := append(rolePairs(resp.GetRole()), operationPairs(op)...)
	pairs = append(pairs, term.Pair{Name: credsEnded, Value: strconv.Itoa(int(resp.GetDependentCount()))})
	for _, d := range resp.GetDependents() {
		pairs = append(pairs, term.Pair{Name: "credential", Value: d.GetCredential()})
	}
	return errors.Join(a.show(resp, pairs...), waitErr)
}

func (a *App) keyDependents(in *scope) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "dependents ROLE", Short: "List the credentials that end with a role's keys", Args: term.Exactly("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withRole(*in, args[0], func(s *session, name string) error {
				client := apiv1.NewRoleServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListKeyDependentsResponse, error) {
					return client.ListKeyDependents(ctx, &apiv1.ListKeyDependentsRequest{Name: name, PublicKey: key, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListKeyDependentsResponse).GetDependents)
				if err != nil {
					return err
				}
				return showList(a, "dependents", all, []string{"CREDENTIAL", "KEY", "EXPIRES"}, func(d *apiv1.KeyDependent) []string {
					return []string{d.GetCredential(), d.GetIssuerKey(), stamp(d.GetExpireTime())}
				})
			})
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "only of this public key")
	return cmd
}
