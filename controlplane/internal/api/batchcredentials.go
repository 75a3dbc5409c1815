package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// BatchIssueCredentials implements apiv1.CredentialServiceServer. It is all or none
// because whoever made some and lost the answer would have nothing to show for them.
func (s *credentials) BatchIssueCredentials(ctx context.Context, req *apiv1.BatchIssueCredentialsRequest) (*apiv1.BatchIssueCredentialsResponse, error) {
	parent, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	in := make([]tenancy.NewUserCredential, len(req.GetRequests()))
	for i, r := range req.GetRequests() {
		n, err := partOf(req.GetParent(), r.GetParent(), r)
		if err != nil {
			return nil, err
		}
		in[i] = tenancy.NewUserCredential{User: n.user, NewCredential: tenancy.NewCredential{
			TTL: seconds(r.GetTtlSeconds()), PublicKey: r.GetPublicKey(), Requester: callOf(ctx).principal.KeyID,
		}}
	}
	return write(ctx, s.Server, req, parent.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.BatchIssueCredentialsResponse, error) {
		issued, err := s.tenancy.IssueCredentials(ctx, tx, parent.account, in)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.BatchIssueCredentialsResponse{}
		targets := make([]string, len(issued))
		for i, out := range issued {
			one := &apiv1.IssueCredentialResponse{Credential: credentialProto(parent.organization, out.Credential, tenancy.Active)}
			if !req.GetValidateOnly() {
				one.Jwt, one.CredsFile = out.JWT, out.CredsFile
			}
			resp.Issued, targets[i] = append(resp.Issued, one), req.GetRequests()[i].GetParent()
		}
		tx.Touches(targets...)
		return resp, tx.Fits()
	})
}

// BatchRevokeCredentials implements apiv1.CredentialServiceServer.
func (s *credentials) BatchRevokeCredentials(ctx context.Context, req *apiv1.BatchRevokeCredentialsRequest) (*apiv1.BatchRevokeCredentialsResponse, error) {
	parent, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	refs, targets := make([]tenancy.CredentialRef, len(req.GetRequests())), make([]string, len(req.GetRequests()))
	for i, r := range req.GetRequests() {
		n, err := partOf(req.GetParent(), r.GetName(), r)
		if err != nil {
			return nil, err
		}
		if r.GetReason() != "" {
			return nil, errs.New(errs.Invalid, "INVALID_FIELD", "requests: the reason is the batch's").
				WithField("requests").WithNext("set it beside requests, not in them")
		}
		refs[i], targets[i] = tenancy.CredentialRef{User: n.user, ID: n.credential, Etag: r.GetEtag()}, r.GetName()
	}
	keys := map[string]bool{}
	return preview(ctx, s.Server, req, parent.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.BatchRevokeCredentialsResponse, error) {
		revoked, operation, err := s.tenancy.RevokeCredentials(ctx, tx, "BatchRevokeCredentials", parent.account, refs)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.BatchRevokeCredentialsResponse{Operation: operationProto(parent.organization, operation)}
		for _, c := range revoked {
			keys[c.PublicKey] = true
			resp.Credentials = append(resp.Credentials, credentialProto(parent.organization, c, tenancy.Revoked))
		}
		tx.Touches(targets...)
		return resp, tx.Fits()
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return s.touchesCredentials(ctx, tx.View, parent.account, "", func(c store.Credential) bool { return keys[c.PublicKey] })
	})
}
