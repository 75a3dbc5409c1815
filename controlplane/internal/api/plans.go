package api

import (
	"context"
	"errors"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type plans struct {
	apiv1.UnimplementedPlanServiceServer
	*Server
}

// sees says which plans a caller may see.
func (s *Server) sees(ctx context.Context) (func(store.Plan) bool, error) {
	organization := callOf(ctx).principal.Organization
	if organization == "" {
		return func(store.Plan) bool { return true }, nil
	}
	v, err := s.store.View(callOf(ctx).principal.Scope(), organization)
	if err != nil {
		return nil, err
	}
	t, err := v.Terms(ctx)
	if err != nil {
		return nil, err
	}
	return func(p store.Plan) bool { return !p.Unlisted || p.ID == t.Plan }, nil
}

// GetPlan implements apiv1.PlanServiceServer.
func (s *plans) GetPlan(ctx context.Context, req *apiv1.GetPlanRequest) (*apiv1.GetPlanResponse, error) {
	sees, err := s.sees(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.store.Plan(ctx, planID(req.GetName()))
	if err != nil {
		return nil, err
	}
	if !sees(p) {
		return nil, store.ErrNotFound
	}
	return &apiv1.GetPlanResponse{Plan: planProto(p)}, nil
}

// ListPlans implements apiv1.PlanServiceServer.
func (s *plans) ListPlans(ctx context.Context, req *apiv1.ListPlansRequest) (*apiv1.ListPlansResponse, error) {
	page, err := store.ParsePage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	sees, err := s.sees(ctx)
	if err != nil {
		return nil, err
	}
	list, next, err := s.store.Plans(ctx, page)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListPlansResponse{NextPageToken: store.Token(next)}
	for _, p := range list {
		if sees(p) {
			resp.Plans = append(resp.Plans, planProto(p))
		}
	}
	return resp, nil
}

// GetOrganizationPlan implements apiv1.PlanServiceServer.
func (s *plans) GetOrganizationPlan(ctx context.Context, req *apiv1.GetOrganizationPlanRequest) (*apiv1.GetOrganizationPlanResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if _, err := v.Org(ctx); err != nil {
		return nil, err
	}
	t, err := v.Terms(ctx)
	if err != nil {
		return nil, err
	}
	out, err := organizationPlan(ctx, v, n.organization, t, time.Now())
	return &apiv1.GetOrganizationPlanResponse{OrganizationPlan: out}, err
}

// planReader is what organizationPlan reads from: a view or a change.
type planReader interface {
	Plan(ctx context.Context, id string) (store.Plan, error)
	AllAccounts(ctx context.Context) ([]store.Account, error)
	CountAccounts(ctx context.Context) (int64, error)
	CountUsers(ctx context.Context) (int64, error)
}

// organizationPlan tells everything that an organization is granted.
func organizationPlan(ctx context.Context, v planReader, organization string, t store.OrgTerms, now time.Time) (*apiv1.OrganizationPlan, error) {
	p, err := v.Plan(ctx, t.Plan)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	out := &apiv1.OrganizationPlan{
		Name: tenancy.OrganizationName(organization), Plan: tenancy.PlanName(t.Plan), PlanDisplayName: p.DisplayName,
		Generation: t.Generation, Behind: t.Behind, Limits: grantedProto(t), AssignTime: timestamp(t.AssignTime),
		Overrides: overridesProto(organization, "", t.Overrides, now),
	}
	for _, c := range []struct {
		name  string
		count func(context.Context) (int64, error)
	}{{accounts.CountAccounts, v.CountAccounts}, {accounts.CountUsers, v.CountUsers}} {
		n, err := c.count(ctx)
		if err != nil {
			return nil, err
		}
		most, layer := t.Terms.Count(c.name, t.Overrides)
		out.Limits = append(out.Limits, &apiv1.GrantedLimit{Limit: c.name, Total: most, Allocated: &n, Layer: layer})
	}
	all, err := v.AllAccounts(ctx)
	for _, a := range all {
		out.Overrides = append(out.Overrides, overridesProto(organization, a.ID, a.Overrides, now)...)
	}
	return out, err
}
