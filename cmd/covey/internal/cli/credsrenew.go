package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// renewal is `covey creds renew`.
type renewal struct {
	app  *App
	ttl  time.Duration
	file string
}

func (a *App) credsRenew(in *scope) *cobra.Command {
	r := &renewal{app: a}
	var user string
	cmd := &cobra.Command{
		Use: "renew CREDENTIAL", Short: "Sign a new JWT for a credential's key; the seed stays where it is", Args: term.Exactly("CREDENTIAL"),
		Long: `Sign a new JWT for a credential's key. With --creds the JWT replaces the one
in that credentials file, which keeps its seed; without, it is printed. The old
JWT stays good until it expires.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			flags := *in
			flags.user = user
			return a.withScope(flags, func(s *session, in scope) error {
				name, err := in.credentialName(args[0])
				if err != nil {
					return err
				}
				return r.run(cmd.Context(), s, name)
			})
		},
	}
	cmd.Flags().DurationVar(&r.ttl, "ttl", 0, "how long it lives (default: the account's)")
	cmd.Flags().StringVar(&r.file, "creds", "", "credentials file to bring up to date")
	cmd.Flags().StringVar(&user, "user", "", "user (default: the context's)")
	return cmd
}

func (r *renewal) run(ctx context.Context, s *session, name string) error {
	if r.ttl < 0 || r.ttl%time.Second != 0 {
		return term.Usagef("for example 720h", "--ttl %s is not a number of whole seconds", r.ttl)
	}
	var seed accounts.Seed
	if r.file != "" {
		text, err := os.ReadFile(r.file)
		if err != nil {
			return term.Usagef("give the credentials file that `covey creds issue` wrote", "read credentials: %w", err)
		}
		if _, seed, err = accounts.ParseCreds(text); err != nil {
			return err
		}
	}
	resp, err := apiv1.NewCredentialServiceClient(s).RenewCredential(ctx, &apiv1.RenewCredentialRequest{
		Name: name, TtlSeconds: int64(r.ttl / time.Second), RequestId: uuid.NewString(),
	})
	if err != nil {
		return err
	}
	issued := &apiv1.IssueCredentialResponse{Credential: resp.GetCredential(), Jwt: resp.GetJwt()}
	if r.file != "" {
		if err := r.write(resp, seed); err != nil {
			return err
		}
	}
	return (&issue{app: r.app}).report(issued, r.file)
}

// write puts the new JWT beside the seed, replacing the file whole.
func (r *renewal) write(resp *apiv1.RenewCredentialResponse, seed accounts.Seed) error {
	if public, err := seed.PublicKey(); err != nil || public != resp.GetCredential().GetPublicKey() {
		return term.Partialf("it was renewed; give the file of that credential to bring it up to date", "%s holds another key's seed", r.file)
	}
	text, err := accounts.FormatCreds(resp.GetJwt(), seed)
	if err != nil {
		return fmt.Errorf("format credentials: %w", err)
	}
	store, err := r.app.Store()
	if err != nil {
		return err
	}
	place, err := reserve(store, r.file)
	if err != nil {
		return err
	}
	defer place.discard()
	if _, err := place.write(r.file, text, true); err != nil {
		return term.Partialf("it was renewed; renew it again once the cause is gone", "write the credentials file: %w", err)
	}
	return nil
}
