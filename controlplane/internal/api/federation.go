package api

import (
	"context"
	"errors"

	"github.com/coveymq/covey/controlplane/internal/federation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type federations struct {
	apiv1.UnimplementedFederationServiceServer
	*Server
}

func federationPolicyProto(organization string, p store.FederationPolicy) *apiv1.FederationPolicy {
	return &apiv1.FederationPolicy{
		Name: tenancy.FederationPolicyName(organization, p.Account, p.ID), Issuer: p.Issuer, Audience: p.Audience, Claims: p.Claims,
		User: tenancy.UserName(organization, p.Account, p.User), MaxTtlSeconds: p.MaxTTLSeconds, CreateTime: timestamp(p.CreateTime),
		Etag: tenancy.Etag(p.Revision),
	}
}

// CreateFederationPolicy implements apiv1.FederationServiceServer.
func (s *federations) CreateFederationPolicy(ctx context.Context, req *apiv1.CreateFederationPolicyRequest) (*apiv1.CreateFederationPolicyResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	in := req.GetFederationPolicy()
	user, err := parseName(in.GetUser())
	if err != nil {
		return nil, err
	}
	if user.organization != n.organization || user.account != n.account {
		return nil, errs.New(errs.Precondition, "USER_NOT_FOUND", "the account has no user %q", in.GetUser()).WithField("federation_policy.user")
	}
	wanted := tenancy.NewFederationPolicy{
		Issuer: in.GetIssuer(), Audience: in.GetAudience(), Claims: in.GetClaims(), User: user.user, MaxTTL: seconds(in.GetMaxTtlSeconds()),
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateFederationPolicyResponse, error) {
		p, err := s.tenancy.CreateFederationPolicy(ctx, tx, n.account, req.GetFederationPolicyId(), wanted)
		if err != nil {
			return nil, err
		}
		return &apiv1.CreateFederationPolicyResponse{FederationPolicy: federationPolicyProto(n.organization, p)}, nil
	})
}

// GetFederationPolicy implements apiv1.FederationServiceServer.
func (s *federations) GetFederationPolicy(ctx context.Context, req *apiv1.GetFederationPolicyRequest) (*apiv1.GetFederationPolicyResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	p, err := v.FederationPolicy(ctx, n.account, n.federationPolicy)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetFederationPolicyResponse{FederationPolicy: federationPolicyProto(n.organization, p)}, nil
}

// ListFederationPolicies implements apiv1.FederationServiceServer.
func (s *federations) ListFederationPolicies(ctx context.Context, req *apiv1.ListFederationPoliciesRequest) (*apiv1.ListFederationPoliciesResponse, error) {
	list, next, err := listInAccount(ctx, s.Server, req, (*store.View).FederationPolicies, federationPolicyProto)
	return &apiv1.ListFederationPoliciesResponse{FederationPolicies: list, NextPageToken: next}, err
}

// DeleteFederationPolicy implements apiv1.FederationServiceServer.
func (s *federations) DeleteFederationPolicy(ctx context.Context, req *apiv1.DeleteFederationPolicyRequest) (*apiv1.DeleteFederationPolicyResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteFederationPolicyResponse, error) {
		err := s.tenancy.DeleteFederationPolicy(ctx, tx, n.account, n.federationPolicy, req.GetEtag())
		return &apiv1.DeleteFederationPolicyResponse{}, err
	})
}

// ExchangeToken implements apiv1.FederationServiceServer. The token is what
// authenticates the call, and what it reaches is the policy's user. A policy
// that is not there refuses like one that does not take the token.
func (s *federations) ExchangeToken(ctx context.Context, req *apiv1.ExchangeTokenRequest) (*apiv1.ExchangeTokenResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	c := callOf(ctx)
	c.resource = req.GetName()
	v, err := s.store.View(store.Tenant(n.organization), n.organization)
	if err != nil {
		return nil, err
	}
	p, err := v.FederationPolicy(ctx, n.account, n.federationPolicy)
	if errors.Is(err, store.ErrNotFound) {
		return nil, federation.ErrRefused
	}
	if err != nil {
		return nil, err
	}
	subject, err := s.federation.Verify(ctx, req.GetToken(), federation.Wanted{Issuer: p.Issuer, Audience: p.Audience, Claims: p.Claims})
	if err != nil {
		return nil, err
	}
	c.principal.KeyID, c.principal.Organization = p.UID, n.organization
	in := tenancy.NewCredential{TTL: seconds(req.GetTtlSeconds()), PublicKey: req.GetPublicKey(), Requester: p.UID + " " + clip(subject)}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.ExchangeTokenResponse, error) {
		out, err := s.tenancy.Exchange(ctx, tx, p, in)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.ExchangeTokenResponse{Credential: credentialProto(n.organization, out.Credential, tenancy.Active)}
		if !req.GetValidateOnly() {
			resp.Jwt = out.JWT
		}
		return resp, nil
	})
}

// clip bounds a text that somebody else chose.
func clip(text string) string {
	const most = 200
	return text[:min(len(text), most)]
}
