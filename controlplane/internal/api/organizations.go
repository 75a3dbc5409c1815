package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type organizations struct {
	apiv1.UnimplementedOrganizationServiceServer
	*Server
}

// SignUp implements apiv1.OrganizationServiceServer.
func (s *organizations) SignUp(ctx context.Context, req *apiv1.SignUpRequest) (*apiv1.SignUpResponse, error) {
	in := tenancy.NewOrganization{
		ID: req.GetOrganizationId(), DisplayName: req.GetDisplayName(), ContactEmail: req.GetContactEmail(),
		UserPublicKey: req.GetUserPublicKey(), Requester: callOf(ctx).principal.KeyID,
	}
	return write(ctx, s.Server, req, in.ID, func(ctx context.Context, tx *store.Tx) (*apiv1.SignUpResponse, error) {
		out, err := s.tenancy.SignUp(ctx, tx, "SignUp", in)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.SignUpResponse{
			Organization: organizationProto(out.Organization), Account: accountProto(in.ID, out.Account), User: userProto(in.ID, out.User),
			Credential: credentialProto(in.ID, out.Issued.Credential, tenancy.Active), Operation: operationProto(in.ID, out.Operation),
		}
		if !req.GetValidateOnly() {
			resp.CredsFile, resp.ApiKey = out.Issued.CredsFile, out.Key.Reveal()
		}
		return resp, nil
	})
}

// GetOrganization implements apiv1.OrganizationServiceServer.
func (s *organizations) GetOrganization(ctx context.Context, req *apiv1.GetOrganizationRequest) (*apiv1.GetOrganizationResponse, error) {
	v, _, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	o, err := v.Org(ctx)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetOrganizationResponse{Organization: organizationProto(o)}, nil
}

// ListOrganizations implements apiv1.OrganizationServiceServer.
func (s *organizations) ListOrganizations(ctx context.Context, req *apiv1.ListOrganizationsRequest) (*apiv1.ListOrganizationsResponse, error) {
	page, err := store.ParsePage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	list, next, err := s.store.Organizations(ctx, callOf(ctx).principal.Scope(), page)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListOrganizationsResponse{NextPageToken: store.Token(next)}
	for _, o := range list {
		resp.Organizations = append(resp.Organizations, organizationProto(o))
	}
	return resp, nil
}

// view parses a resource name and returns a view of its organization, within
// the scope of the caller.
func (s *Server) view(ctx context.Context, resource string) (*store.View, name, error) {
	n, err := parseName(resource)
	if err != nil {
		return nil, name{}, err
	}
	v, err := s.store.View(callOf(ctx).principal.Scope(), n.organization)
	return v, n, err
}
