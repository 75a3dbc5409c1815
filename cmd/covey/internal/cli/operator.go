package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/internal/lifecycle"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

func (a *App) adminOperator() *cobra.Command {
	cmd := &cobra.Command{Use: "operator", Short: "See to the keys that sign accounts"}
	cmd.AddCommand(a.operatorShow(), a.operatorRequest(), a.operatorJWT(), a.operatorStage(), a.operatorPromote(), a.operatorRetire())
	return cmd
}

// operatorCall runs a command on the operator.
func (a *App) operatorCall(f func(ctx context.Context, c adminv1.OperatorServiceClient) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		return a.withSession(func(s *session) error { return f(cmd.Context(), adminv1.NewOperatorServiceClient(s)) })
	}
}

func (a *App) operatorShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the trust root, its signing keys, and how far accounts are signed again", Args: term.Exactly(),
		RunE: a.operatorCall(func(ctx context.Context, c adminv1.OperatorServiceClient) error {
			r, err := c.GetOperator(ctx, &adminv1.GetOperatorRequest{})
			if err != nil {
				return err
			}
			return a.showOperator(r.GetOperator())
		}),
	}
}

func (a *App) operatorRequest() *cobra.Command {
	var retire string
	cmd := &cobra.Command{
		Use: "request", Short: "Print what the holder of the root key is to sign next", Args: term.Exactly(),
		Long: `Print what the holder of the root key is to sign next: the operator's JWT with the
staged key in its list, or without a key that is to be retired. There is no secret in it.
Sign it where the root key is, with ` + "`covey admin operator sign`" + `, and hand the
result to ` + "`promote` or `retire`" + `.`,
		Example: "  covey admin operator request > request.json\n  covey admin operator request --retire OABC... > request.json",
		RunE: a.operatorCall(func(ctx context.Context, c adminv1.OperatorServiceClient) error {
			r, err := c.GetOperator(ctx, &adminv1.GetOperatorRequest{RetirePublicKey: retire})
			if err != nil {
				return err
			}
			request := r.GetOperator().GetSigningRequest()
			if request == "" {
				return term.Failf("stage a key first, or name one with --retire", "nothing is to be signed: the operator's JWT lists the keys that it is to list")
			}
			_, err = a.streams.Out.Write([]byte(request))
			return err
		}),
	}
	cmd.Flags().StringVar(&retire, "retire", "", "a key that is to be left out")
	return cmd
}

func (a *App) operatorJWT() *cobra.Command {
	return &cobra.Command{
		Use: "jwt", Short: "Print the operator's JWT, as stock servers need it", Args: term.Exactly(),
		RunE: a.operatorCall(func(ctx context.Context, c adminv1.OperatorServiceClient) error {
			r, err := c.GetOperator(ctx, &adminv1.GetOperatorRequest{})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.streams.Out, r.GetOperator().GetJwt())
			return err
		}),
	}
}

// operatorWrite is the flags of a change.
type operatorWrite struct {
	reason, id string
	dry        bool
}

func (w *operatorWrite) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.reason, "reason", "", "why, for the audit log")
	cmd.Flags().StringVar(&w.id, "request-id", "", "the same id with the same request is carried out once")
	cmd.Flags().BoolVar(&w.dry, "dry-run", false, "check everything and change nothing")
}

func (a *App) operatorStage() *cobra.Command {
	var w operatorWrite
	cmd := &cobra.Command{
		Use: "stage", Short: "Make the operator's next signing key", Args: term.Exactly(),
		RunE: a.operatorCall(func(ctx context.Context, c adminv1.OperatorServiceClient) error {
			r, err := c.StageOperatorKey(ctx, &adminv1.StageOperatorKeyRequest{Reason: w.reason, RequestId: w.id, ValidateOnly: w.dry})
			if err != nil {
				return err
			}
			return a.showOperator(r.GetOperator())
		}),
	}
	w.flags(cmd)
	return cmd
}

func (a *App) operatorPromote() *cobra.Command {
	var w operatorWrite
	var file string
	wait := waiting{}
	cmd := &cobra.Command{
		Use: "promote", Short: "Let the staged key sign, as soon as brokers know it", Args: term.Exactly(),
		Long: `Let the staged key sign. Brokers are told of it; once all that are there know it, it
signs, and every account is signed again by itself. Clients stay connected. Stock servers do not
hear of it: give them the operator's new JWT first.

With the root key offline, --jwt is the operator's JWT that its holder signed.`,
		Example: "  covey admin operator promote --jwt operator.jwt --wait",
		RunE: a.operatorCall(func(ctx context.Context, c adminv1.OperatorServiceClient) error {
			text, err := operatorFile(file)
			if err != nil {
				return err
			}
			r, err := c.PromoteOperatorKey(ctx, &adminv1.PromoteOperatorKeyRequest{OperatorJwt: text, Reason: w.reason, RequestId: w.id, ValidateOnly: w.dry})
			if err != nil {
				return err
			}
			o := r.GetOperator()
			if wait.wait && !w.dry {
				if o, err = a.followOperator(ctx, c, stagedKey(o), wait.timeout); err != nil {
					return err
				}
			}
			return a.showOperator(o)
		}),
	}
	cmd.Flags().StringVar(&file, "jwt", "", "file with the operator's JWT, signed by its root key")
	cmd.Flags().BoolVar(&wait.wait, "wait", false, "wait until the key signs and all accounts are signed by it")
	cmd.Flags().DurationVar(&wait.timeout, "wait-timeout", 10*time.Minute, "how long to wait")
	w.flags(cmd)
	return cmd
}

func (a *App) operatorRetire() *cobra.Command {
	var w operatorWrite
	var file string
	var force bool
	cmd := &cobra.Command{
		Use: "retire KEY", Short: "Have brokers refuse what a key signed", Args: term.Exactly("KEY"),
		Long: `Have brokers refuse what a key signed. That is refused while accounts are signed by it;
with --force their clients are cut off until they are signed again, and the first hundred are listed.`,
		Example: "  covey admin operator retire OABC... --jwt operator.jwt",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := operatorFile(file)
			if err != nil {
				return err
			}
			return a.operatorCall(func(ctx context.Context, c adminv1.OperatorServiceClient) error {
				r, err := c.RetireOperatorKey(ctx, &adminv1.RetireOperatorKeyRequest{
					PublicKey: args[0], OperatorJwt: text, Force: force, Reason: w.reason, RequestId: w.id, ValidateOnly: w.dry,
				})
				if err != nil {
					return err
				}
				for _, account := range r.GetDependents() {
					a.streams.Sayf("cut off until it is signed again: %s", account)
				}
				return a.showOperator(r.GetOperator())
			})(cmd, args)
		},
	}
	cmd.Flags().StringVar(&file, "jwt", "", "file with the operator's JWT without the key, signed by its root key")
	cmd.Flags().BoolVar(&force, "force", false, "also if accounts are signed by it: they are cut off until they are signed again")
	w.flags(cmd)
	return cmd
}

func operatorFile(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", term.Failf("`covey admin operator sign` writes one", "read the operator's JWT: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func stagedKey(o *adminv1.Operator) string {
	for _, k := range o.GetKeys() {
		if k.GetState() == adminv1.OperatorSigningKey_STATE_STAGED {
			return k.GetPublicKey()
		}
	}
	return ""
}

const operatorPoll = 500 * time.Millisecond

// followOperator waits until a key signs and all accounts are signed by it,
// telling how far that is.
func (a *App) followOperator(ctx context.Context, c adminv1.OperatorServiceClient, key string, timeout time.Duration) (*adminv1.Operator, error) {
	deadline := time.Now().Add(timeout)
	backoff := lifecycle.Backoff{Min: operatorPoll, Max: operatorPoll}
	told := ""
	for {
		r, err := c.GetOperator(ctx, &adminv1.GetOperatorRequest{})
		if err != nil {
			return nil, err
		}
		o, now := r.GetOperator(), operatorProgress(r.GetOperator())
		if now != told {
			told = now
			a.streams.Sayf("%s", now)
		}
		if s := o.GetResigning(); s.GetPublicKey() == key && s.GetFinishTime() != nil {
			return o, nil
		}
		if time.Now().After(deadline) {
			return o, term.Partialf("it goes on by itself; look again with `covey admin operator show`", "not done after %s: %s", timeout, now)
		}
		if err := backoff.Wait(ctx); err != nil {
			return o, err
		}
	}
}

func operatorProgress(o *adminv1.Operator) string {
	for _, k := range o.GetKeys() {
		if k.GetState() == adminv1.OperatorSigningKey_STATE_STAGED && k.GetAnnounceTime() != nil {
			return fmt.Sprintf("%d of %d brokers know the staged key", k.GetBrokersKnowing(), k.GetBrokersTotal())
		}
	}
	if r := o.GetResigning(); r != nil {
		return fmt.Sprintf("%d of %d accounts are signed by the active key", r.GetAccountsDone(), r.GetAccountsTotal())
	}
	return "all accounts are signed by the active key"
}

func (a *App) showOperator(o *adminv1.Operator) error {
	if a.streams.JSON {
		return a.show(o)
	}
	root := "in the store, sealed"
	if o.GetRootCustody() == adminv1.Operator_ROOT_CUSTODY_OFFLINE {
		root = "offline"
	}
	pairs := []term.Pair{
		{Name: "operator", Value: o.GetPublicKey()},
		{Name: "root key", Value: root},
		{Name: "system account", Value: o.GetSystemAccount()},
		{Name: "accounts", Value: operatorProgress(o)},
	}
	for _, k := range o.GetKeys() {
		state := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(k.GetState().String(), "STATE_"), "_", "-"))
		if k.GetAnnounceTime() != nil && state == "staged" {
			state += ", announced"
		}
		pairs = append(pairs, term.Pair{Name: "signing key", Value: k.GetPublicKey() + "  " + state})
	}
	if o.GetSigningRequest() != "" {
		next := "`covey admin operator promote`"
		if root == "offline" {
			next = "`covey admin operator request` prints what the root key's holder is to sign"
		}
		pairs = append(pairs, term.Pair{Name: "next", Value: next})
	}
	return a.streams.Describe(pairs...)
}
