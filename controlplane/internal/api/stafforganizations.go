package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

// staffOrganizations implements covey.admin.v1.OrganizationService.
type staffOrganizations struct {
	adminv1.UnimplementedOrganizationServiceServer
	*Server
}

// SuspendOrganization implements covey.admin.v1.
func (s *staffOrganizations) SuspendOrganization(ctx context.Context, req *adminv1.SuspendOrganizationRequest) (*adminv1.SuspendOrganizationResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	resp, err := preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*adminv1.SuspendOrganizationResponse, error) {
		o, op, err := s.tenancy.SuspendOrganization(ctx, tx, "SuspendOrganization", req.GetEtag(), req.GetReason())
		if err != nil {
			return nil, err
		}
		return &adminv1.SuspendOrganizationResponse{Organization: organizationProto(o), Operation: operationProto(n.organization, op)}, nil
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return s.touchesOrganization(ctx, tx.View)
	})
	if err == nil {
		s.spread(ctx, n.organization, resp.GetOperation())
	}
	return resp, err
}

// ResumeOrganization implements covey.admin.v1.
func (s *staffOrganizations) ResumeOrganization(ctx context.Context, req *adminv1.ResumeOrganizationRequest) (*adminv1.ResumeOrganizationResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	resp, err := write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*adminv1.ResumeOrganizationResponse, error) {
		o, op, err := s.tenancy.ResumeOrganization(ctx, tx, "ResumeOrganization", req.GetEtag())
		if err != nil {
			return nil, err
		}
		return &adminv1.ResumeOrganizationResponse{Organization: organizationProto(o), Operation: operationProto(n.organization, op)}, nil
	})
	if err == nil {
		s.spread(ctx, n.organization, resp.GetOperation())
	}
	return resp, err
}
