package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
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

// UpdateOrganization implements apiv1.OrganizationServiceServer.
func (s *organizations) UpdateOrganization(ctx context.Context, req *apiv1.UpdateOrganizationRequest) (*apiv1.UpdateOrganizationResponse, error) {
	in := req.GetOrganization()
	n, err := parseName(in.GetName())
	if err != nil {
		return nil, err
	}
	if in.GetName() != tenancy.OrganizationName(n.organization) {
		return nil, errs.New(errs.Invalid, "INVALID_NAME", "organization.name names no organization").WithField("organization.name")
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.UpdateOrganizationResponse, error) {
		o, err := s.tenancy.UpdateOrganization(ctx, tx, in.GetEtag(), func(f *tenancy.OrganizationFields) error {
			return maskOrganization(f, in, req.GetUpdateMask().GetPaths())
		})
		if err != nil {
			return nil, err
		}
		return &apiv1.UpdateOrganizationResponse{Organization: organizationProto(o)}, nil
	})
}

func maskOrganization(f *tenancy.OrganizationFields, in *apiv1.Organization, paths []string) error {
	for _, path := range paths {
		switch path {
		case "*":
			f.DisplayName, f.ContactEmail = in.GetDisplayName(), in.GetContactEmail()
		case "display_name":
			f.DisplayName = in.GetDisplayName()
		case "contact_email":
			f.ContactEmail = in.GetContactEmail()
		default:
			return errs.New(errs.Invalid, "INVALID_MASK", "%q is not a writable field of an organization", path).WithField("update_mask").
				WithNext("writable are display_name and contact_email")
		}
	}
	return nil
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
		if o.Ended && !req.GetShowDeleted() {
			continue
		}
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

// CloseOrganization implements apiv1.OrganizationServiceServer.
func (s *organizations) CloseOrganization(ctx context.Context, req *apiv1.CloseOrganizationRequest) (*apiv1.CloseOrganizationResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	retention := tenancy.ClosingDefault
	if req.RetentionSeconds != nil {
		retention = seconds(req.GetRetentionSeconds())
	}
	resp, err := preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CloseOrganizationResponse, error) {
		o, op, err := s.tenancy.CloseOrganization(ctx, tx, "CloseOrganization", req.GetEtag(), retention)
		if err != nil {
			return nil, err
		}
		return &apiv1.CloseOrganizationResponse{Organization: organizationProto(o), Operation: operationProto(n.organization, op)}, nil
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return s.touchesOrganization(ctx, tx.View)
	})
	if err == nil {
		s.spread(ctx, n.organization, resp.GetOperation())
	}
	return resp, err
}

// UndeleteOrganization implements apiv1.OrganizationServiceServer.
func (s *organizations) UndeleteOrganization(ctx context.Context, req *apiv1.UndeleteOrganizationRequest) (*apiv1.UndeleteOrganizationResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	may := func(ctx context.Context, tx *store.Tx) error { return tenancy.MayReopen(ctx, tx) }
	resp, err := writeIf(ctx, s.Server, req, n.organization, may, func(ctx context.Context, tx *store.Tx) (*apiv1.UndeleteOrganizationResponse, error) {
		o, op, err := s.tenancy.UndeleteOrganization(ctx, tx, "UndeleteOrganization", req.GetEtag())
		if err != nil {
			return nil, err
		}
		return &apiv1.UndeleteOrganizationResponse{Organization: organizationProto(o), Operation: operationProto(n.organization, op)}, nil
	})
	if err == nil {
		s.spread(ctx, n.organization, resp.GetOperation())
	}
	return resp, err
}
