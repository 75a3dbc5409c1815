package api

import (
	"context"
	"errors"
	"time"

	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type invitations struct {
	apiv1.UnimplementedInvitationServiceServer
	*Server
}

func invitationProto(organization string, i store.Invitation, now time.Time) *apiv1.Invitation {
	state := map[tenancy.InvitationLife]apiv1.Invitation_State{
		tenancy.InvitationPending:  apiv1.Invitation_STATE_PENDING,
		tenancy.InvitationAccepted: apiv1.Invitation_STATE_ACCEPTED,
		tenancy.InvitationRevoked:  apiv1.Invitation_STATE_REVOKED,
		tenancy.InvitationExpired:  apiv1.Invitation_STATE_EXPIRED,
	}[tenancy.InvitationLifeOf(i, now)]
	return &apiv1.Invitation{
		Name: tenancy.InvitationName(organization, i.ID), Email: i.Email, MemberId: i.Member, State: state,
		RoleBindings: bindingsProto(organization, i.Bindings), CreateTime: timestamp(i.CreateTime), ExpireTime: timestamp(i.ExpireTime),
		AcceptTime: timestamp(i.AcceptTime), Requester: i.Requester, Etag: tenancy.Etag(i.Revision),
	}
}

// CreateInvitation implements apiv1.InvitationServiceServer.
func (s *invitations) CreateInvitation(ctx context.Context, req *apiv1.CreateInvitationRequest) (*apiv1.CreateInvitationResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	bindings, err := bindingsFrom(n.organization, "role_bindings", req.GetRoleBindings())
	if err != nil {
		return nil, err
	}
	in := tenancy.NewInvitation{Email: req.GetEmail(), Member: req.GetMemberId(), Bindings: bindings, TTL: seconds(req.GetTtlSeconds())}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateInvitationResponse, error) {
		out, err := s.tenancy.Invite(ctx, tx, callerOf(ctx), in)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.CreateInvitationResponse{Invitation: invitationProto(n.organization, out.Invitation, tx.Now)}
		if !req.GetValidateOnly() {
			resp.Token = out.Token.Reveal()
		}
		return resp, nil
	})
}

// GetInvitation implements apiv1.InvitationServiceServer.
func (s *invitations) GetInvitation(ctx context.Context, req *apiv1.GetInvitationRequest) (*apiv1.GetInvitationResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	i, err := v.Invitation(ctx, n.invitation)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetInvitationResponse{Invitation: invitationProto(n.organization, i, time.Now())}, nil
}

// ListInvitations implements apiv1.InvitationServiceServer.
func (s *invitations) ListInvitations(ctx context.Context, req *apiv1.ListInvitationsRequest) (*apiv1.ListInvitationsResponse, error) {
	list, next, err := listInOrganization(ctx, s.Server, req, (*store.View).Invitations, func(organization string, i store.Invitation) *apiv1.Invitation {
		return invitationProto(organization, i, time.Now())
	})
	return &apiv1.ListInvitationsResponse{Invitations: list, NextPageToken: next}, err
}

// RevokeInvitation implements apiv1.InvitationServiceServer.
func (s *invitations) RevokeInvitation(ctx context.Context, req *apiv1.RevokeInvitationRequest) (*apiv1.RevokeInvitationResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.RevokeInvitationResponse, error) {
		i, err := s.tenancy.RevokeInvitation(ctx, tx, callerOf(ctx), n.invitation, req.GetEtag())
		if err != nil {
			return nil, err
		}
		return &apiv1.RevokeInvitationResponse{Invitation: invitationProto(n.organization, i, tx.Now)}, nil
	})
}

// AcceptInvitation implements apiv1.InvitationServiceServer. The token is what
// authenticates the call: it reaches the organization that invited, and of that
// only the invitation.
func (s *invitations) AcceptInvitation(ctx context.Context, req *apiv1.AcceptInvitationRequest) (*apiv1.AcceptInvitationResponse, error) {
	id, hash, ok := authn.ParseInvitation(req.GetToken())
	if !ok {
		return nil, tenancy.ErrInvitation
	}
	c := callOf(ctx)
	c.principal.KeyID = id
	organization, err := s.store.InvitationOrganization(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, tenancy.ErrInvitation
	}
	if err != nil {
		return nil, err
	}
	c.principal.Organization, c.resource = organization, tenancy.InvitationName(organization, id)
	return write(ctx, s.Server, req, organization, func(ctx context.Context, tx *store.Tx) (*apiv1.AcceptInvitationResponse, error) {
		out, err := s.tenancy.Accept(ctx, tx, id, hash, req.GetDisplayName(), seconds(req.GetKeyTtlSeconds()))
		if err != nil {
			return nil, err
		}
		resp := &apiv1.AcceptInvitationResponse{Member: memberProto(organization, out.Member), KeyExpireTime: timestamp(out.Made.Key.ExpireTime)}
		if !req.GetValidateOnly() {
			resp.ApiKey = out.Made.Token.Reveal()
		}
		return resp, nil
	})
}
