package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

func (a *App) brokerJoinToken() *cobra.Command {
	var w operatorWrite
	var to secretOut
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "join-token", Short: "Make a secret with which one broker may join the fleet", Args: term.Exactly(),
		Long: `Make a secret with which one broker may join the fleet, and print it, once. It is what the broker's
join_token_file holds (--join-token-file), and is good for one broker and an hour, or --ttl.`,
		Example: "  covey admin broker join-token --out join-token --reason nats-4",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl < 0 || ttl%time.Second != 0 {
				return term.Usagef("for example 30m", "--ttl %s is not a number of whole seconds", ttl)
			}
			place, err := to.prepare(a)
			if err != nil {
				return err
			}
			defer place.discard()
			return a.withSession(func(s *session) error {
				req := &adminv1.CreateJoinTokenRequest{Reason: w.reason, RequestId: w.id, ValidateOnly: w.dry}
				if ttl > 0 {
					req.Ttl = durationpb.New(ttl)
				}
				r, err := adminv1.NewBrokerServiceClient(s).CreateJoinToken(cmd.Context(), req)
				if err != nil {
					return err
				}
				return a.showJoinToken(&to, place, r)
			})
		},
	}
	to.flags(cmd, "token")
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "for how long it is good (default 1h, at most 24h)")
	w.flags(cmd)
	return cmd
}

// showJoinToken prints a token, or writes it and says where. A dry run has none.
func (a *App) showJoinToken(to *secretOut, place *reserved, r *adminv1.CreateJoinTokenResponse) error {
	until := atOrNever(r.GetExpireTime())
	if r.GetJoinToken() == "" {
		return a.show(r, term.Pair{Name: "expires", Value: until})
	}
	path, token, err := to.put(place, r.GetJoinToken())
	switch {
	case err != nil:
		return term.Partialf("the token ends by itself; make another once the cause is gone", "write the token: %w", err)
	case path != "":
		r.JoinToken = ""
		return a.show(r, term.Pair{Name: "file", Value: path}, term.Pair{Name: "expires", Value: until})
	case a.streams.JSON:
		return a.show(r)
	}
	a.streams.Sayf("For one broker, until %s. This is the only time that it is shown:", until)
	if _, err := fmt.Fprintln(a.streams.Out, token); err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	return nil
}
