package api

import (
	"context"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type credentials struct {
	apiv1.UnimplementedCredentialServiceServer
	*Server
}

// IssueCredential implements apiv1.CredentialServiceServer.
func (s *credentials) IssueCredential(ctx context.Context, req *apiv1.IssueCredentialRequest) (*apiv1.IssueCredentialResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	in := tenancy.NewCredential{
		TTL: seconds(req.GetTtlSeconds()), PublicKey: req.GetPublicKey(), Requester: callOf(ctx).principal.KeyID,
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.IssueCredentialResponse, error) {
		out, err := s.tenancy.IssueCredential(ctx, tx, n.account, n.user, in)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.IssueCredentialResponse{Credential: credentialProto(n.organization, out.Credential, tenancy.Active)}
		if !req.GetValidateOnly() {
			resp.Jwt, resp.CredsFile = out.JWT, out.CredsFile
		}
		return resp, nil
	})
}

// ListCredentials implements apiv1.CredentialServiceServer.
func (s *credentials) ListCredentials(ctx context.Context, req *apiv1.ListCredentialsRequest) (*apiv1.ListCredentialsResponse, error) {
	page, v, n, err := s.parent(ctx, req)
	if err != nil {
		return nil, err
	}
	if _, err := v.User(ctx, n.account, n.user); err != nil {
		return nil, err
	}
	list, next, err := v.Credentials(ctx, n.account, n.user, page)
	if err != nil {
		return nil, err
	}
	r, err := v.Revocations(ctx, n.account)
	if err != nil {
		return nil, err
	}
	issuers, err := s.tenancy.IssuersOf(ctx, v, n.account)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	resp := &apiv1.ListCredentialsResponse{NextPageToken: store.Token(next)}
	for _, c := range list {
		resp.Credentials = append(resp.Credentials, credentialProto(n.organization, c, issuers.LifeOf(c, r.Revocations, now)))
	}
	return resp, nil
}

// GetCredential implements apiv1.CredentialServiceServer.
func (s *credentials) GetCredential(ctx context.Context, req *apiv1.GetCredentialRequest) (*apiv1.GetCredentialResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	c, err := v.SeenCredential(ctx, n.account, n.user, n.credential)
	if err != nil {
		return nil, err
	}
	r, err := v.Revocations(ctx, n.account)
	if err != nil {
		return nil, err
	}
	issuers, err := s.tenancy.IssuersOf(ctx, v, n.account)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetCredentialResponse{Credential: credentialProto(n.organization, c, issuers.LifeOf(c, r.Revocations, time.Now()))}, nil
}

// RenewCredential implements apiv1.CredentialServiceServer.
func (s *credentials) RenewCredential(ctx context.Context, req *apiv1.RenewCredentialRequest) (*apiv1.RenewCredentialResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	in := tenancy.NewCredential{TTL: seconds(req.GetTtlSeconds()), Requester: callOf(ctx).principal.KeyID}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.RenewCredentialResponse, error) {
		out, err := s.tenancy.RenewCredential(ctx, tx, n.account, n.user, n.credential, req.GetEtag(), in)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.RenewCredentialResponse{Credential: credentialProto(n.organization, out.Credential, tenancy.Active)}
		if !req.GetValidateOnly() {
			resp.Jwt = out.JWT
		}
		return resp, nil
	})
}

// RevokeCredential implements apiv1.CredentialServiceServer.
func (s *credentials) RevokeCredential(ctx context.Context, req *apiv1.RevokeCredentialRequest) (*apiv1.RevokeCredentialResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	public := ""
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.RevokeCredentialResponse, error) {
		out, err := s.tenancy.RevokeCredential(ctx, tx, "RevokeCredential", n.account, n.user, n.credential, req.GetEtag())
		if err != nil {
			return nil, err
		}
		public = out.Credential.PublicKey
		return &apiv1.RevokeCredentialResponse{
			Credential: credentialProto(n.organization, out.Credential, tenancy.Revoked),
			Operation:  operationProto(n.organization, out.Operation),
		}, nil
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return s.touchesCredentials(ctx, tx.View, n.account, n.user, func(c store.Credential) bool { return c.PublicKey == public })
	})
}
