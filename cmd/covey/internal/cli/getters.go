package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) apiKeyGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get KEY", Short: "Show a key: until when it is good, and when it was last used", Args: term.Exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withKey(cmd.Context(), *in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewAPIKeyServiceClient(s).GetAPIKey(cmd.Context(), &apiv1.GetAPIKeyRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetApiKey(), apiKeyPairs(resp.GetApiKey())...)
			})
		},
	}
}

func (a *App) federationGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "Show one federation policy", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withPolicy(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewFederationServiceClient(s).GetFederationPolicy(cmd.Context(), &apiv1.GetFederationPolicyRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetFederationPolicy(), policyPairs(resp.GetFederationPolicy())...)
			})
		},
	}
}

func (a *App) memberInvitation(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "invitation INVITATION", Short: "Show one invitation; its token is shown to nobody again", Args: term.Exactly("INVITATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				name, err := in.invitationName(args[0])
				if err != nil {
					return err
				}
				resp, err := apiv1.NewInvitationServiceClient(s).GetInvitation(cmd.Context(), &apiv1.GetInvitationRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetInvitation(), invitationPairs(resp.GetInvitation())...)
			})
		},
	}
}

func (a *App) shareGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get SHARE", Short: "Show what another organization offered, or, by its full name, an offer of one's own", Args: term.Exactly("SHARE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isFull(args[0]) && strings.Contains(args[0], "/"+segOffers+"/") {
				name, err := fullName(args[0], segOffers, "", "offer")
				if err != nil {
					return err
				}
				return a.withScope(*in, func(s *session, _ scope) error {
					resp, err := apiv1.NewShareServiceClient(s).GetShareOffer(cmd.Context(), &apiv1.GetShareOfferRequest{Name: name})
					if err != nil {
						return err
					}
					return a.show(resp.GetShareOffer(), offerPairs(resp.GetShareOffer())...)
				})
			}
			return a.withShare(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewShareServiceClient(s).GetShare(cmd.Context(), &apiv1.GetShareRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetShare(), sharePairs(resp.GetShare())...)
			})
		},
	}
}
