package cli

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) shareCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "share", Aliases: []string{"shares"}, Short: "Share exports with other organizations: offer, accept, end",
		Long: `Share exports with other organizations. One side offers an export of an account,
the other accepts for one of its accounts and imports it. Either side ends it.`,
	}
	in := accountFlags(cmd)
	cmd.AddCommand(a.shareOffer(in), a.shareOffers(in), a.shareRevoke(in), a.shareList(in), a.shareGet(in), a.shareAccept(in), a.shareReject(in))
	return cmd
}

func (a *App) shareOffer(in *scope) *cobra.Command {
	var to, subject, message string
	var ttl, offerTTL time.Duration
	cmd := &cobra.Command{
		Use: "offer EXPORT --to ORGANIZATION", Short: "Offer an export to an organization", Args: term.Exactly("EXPORT"),
		Example: "  covey share offer prices --to globex --ttl 8760h",
		RunE: func(cmd *cobra.Command, args []string) error {
			if ttl < 0 || ttl%time.Second != 0 || offerTTL < 0 || offerTTL%time.Second != 0 {
				return term.Usagef("for example 720h", "--ttl or --offer-ttl is not a number of whole seconds")
			}
			target, err := fullName(to, segOrganizations, "", "organization")
			if err != nil {
				return err
			}
			return a.withExport(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewShareServiceClient(s).CreateShareOffer(cmd.Context(), &apiv1.CreateShareOfferRequest{
					Parent: name, TargetOrganization: target, Subject: subject, Message: message, RequestId: uuid.NewString(),
					OfferTtlSeconds: int64(offerTTL / time.Second), ShareTtlSeconds: int64(ttl / time.Second),
				})
				if err != nil {
					return err
				}
				return a.show(resp.GetShareOffer(), offerPairs(resp.GetShareOffer())...)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "the organization that it is for")
	_ = cmd.MarkFlagRequired("to")
	f.StringVar(&subject, "subject", "", "only this part of what is exported")
	f.StringVar(&message, "message", "", "for the other side to read")
	f.DurationVar(&ttl, "ttl", 0, "how long the share lives once it is accepted; 0 sets no end")
	f.DurationVar(&offerTTL, "offer-ttl", 0, "how long it can be accepted (default 168h, at most 720h)")
	return cmd
}

func (a *App) shareOffers(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "offers", Short: "List what an account offered, newest first", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.defaultAccount()
				if err != nil {
					return err
				}
				client := apiv1.NewShareServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListShareOffersResponse, error) {
					return client.ListShareOffers(ctx, &apiv1.ListShareOffersRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListShareOffersResponse).GetShareOffers)
				if err != nil {
					return err
				}
				return showList(a, "share_offers", all, []string{"OFFER", "SUBJECT", "TO", "STATE", "ENDS"}, func(o *apiv1.ShareOffer) []string {
					return []string{o.GetName(), o.GetSubject(), lastSegment(o.GetTargetOrganization()), enumWord(o.GetState(), "SHARE_STATE_"), orElse(stamp(o.GetExpireTime()), "")}
				})
			})
		},
	}
}

func (a *App) shareRevoke(in *scope) *cobra.Command {
	var reason string
	var w waiting
	cmd := &cobra.Command{
		Use: "revoke OFFER", Short: "End an offer, or what came of it; OFFER is a full name: `covey share offers`", Args: term.Exactly("OFFER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := fullName(args[0], segOffers, "", "offer")
			if err != nil {
				return err
			}
			return a.withScope(*in, func(s *session, _ scope) error {
				resp, err := apiv1.NewShareServiceClient(s).RevokeShareOffer(cmd.Context(), &apiv1.RevokeShareOfferRequest{
					Name: name, Reason: reason, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.showSettled(cmd.Context(), s, &w, resp.GetOperation(), resp.GetShareOffer(), offerPairs(resp.GetShareOffer())...)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	w.flags(cmd, true)
	return cmd
}

func (a *App) shareList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what other organizations offered, newest first", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.orgName()
				if err != nil {
					return err
				}
				client := apiv1.NewShareServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListSharesResponse, error) {
					return client.ListShares(ctx, &apiv1.ListSharesRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListSharesResponse).GetShares)
				if err != nil {
					return err
				}
				return showList(a, "shares", all, []string{"SHARE", "FROM", "TYPE", "SUBJECT", "STATE", "ACCOUNT", "ENDS"}, func(x *apiv1.Share) []string {
					return []string{
						lastSegment(x.GetName()), lastSegment(x.GetSourceOrganization()), enumWord(x.GetType(), "TYPE_"), x.GetSubject(),
						enumWord(x.GetState(), "SHARE_STATE_"), lastSegment(x.GetAccount()), stamp(x.GetExpireTime()),
					}
				})
			})
		},
	}
}

// withShare runs f with a session and the full name of a share.
func (a *App) withShare(flags scope, id string, f func(*session, scope, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.ofOrganization(id, segShares, "share")
		if err != nil {
			return err
		}
		return f(s, in, name)
	})
}

func (a *App) shareAccept(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "accept SHARE", Short: "Accept an offer for the account, which can import it then", Args: term.Exactly("SHARE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withShare(*in, args[0], func(s *session, in scope, name string) error {
				account, err := in.defaultAccount()
				if err != nil {
					return err
				}
				resp, err := apiv1.NewShareServiceClient(s).AcceptShare(cmd.Context(), &apiv1.AcceptShareRequest{Name: name, Account: account, RequestId: uuid.NewString()})
				if err != nil {
					return err
				}
				a.streams.Sayf("Next: covey import create NAME --share %s", lastSegment(name))
				return a.show(resp.GetShare(), sharePairs(resp.GetShare())...)
			})
		},
	}
}

func (a *App) shareReject(in *scope) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "reject SHARE", Short: "Decline an offer, or end a share that was accepted", Args: term.Exactly("SHARE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withShare(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewShareServiceClient(s).RejectShare(cmd.Context(), &apiv1.RejectShareRequest{Name: name, Reason: reason, RequestId: uuid.NewString()})
				if err != nil {
					return err
				}
				return a.show(resp.GetShare(), sharePairs(resp.GetShare())...)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return cmd
}

func offerPairs(o *apiv1.ShareOffer) []term.Pair {
	return []term.Pair{
		{Name: "offer", Value: o.GetName()},
		{Name: "to", Value: o.GetTargetOrganization()},
		{Name: "subject", Value: o.GetSubject()},
		{Name: "state", Value: enumWord(o.GetState(), "SHARE_STATE_")},
		{Name: "acceptable until", Value: stamp(o.GetOfferExpireTime())},
		{Name: "ends", Value: stamp(o.GetExpireTime())},
	}
}

func sharePairs(x *apiv1.Share) []term.Pair {
	return []term.Pair{
		{Name: "share", Value: x.GetName()},
		{Name: "from", Value: x.GetSourceOrganization()},
		{Name: "message", Value: x.GetMessage()},
		{Name: "type", Value: enumWord(x.GetType(), "TYPE_")},
		{Name: "subject", Value: x.GetSubject()},
		{Name: "state", Value: enumWord(x.GetState(), "SHARE_STATE_")},
		{Name: "account", Value: x.GetAccount()},
		{Name: "ends", Value: stamp(x.GetExpireTime())},
	}
}
