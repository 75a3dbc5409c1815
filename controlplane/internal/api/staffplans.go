package api

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// staffPlans implements covey.admin.v1.PlanService.
type staffPlans struct {
	adminv1.UnimplementedPlanServiceServer
	*Server
}

func planID(name string) string { return strings.TrimPrefix(name, "plans/") }

// CreatePlan implements covey.admin.v1.
func (s *staffPlans) CreatePlan(ctx context.Context, req *adminv1.CreatePlanRequest) (*adminv1.CreatePlanResponse, error) {
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.CreatePlanResponse, error) {
		p, err := s.tenancy.CreatePlan(ctx, tx, req.GetPlanId(), planFieldsFrom(req.GetPlan()))
		if err != nil {
			return nil, err
		}
		return &adminv1.CreatePlanResponse{Plan: planProto(p)}, nil
	})
}

// UpdatePlan implements covey.admin.v1.
func (s *staffPlans) UpdatePlan(ctx context.Context, req *adminv1.UpdatePlanRequest) (*adminv1.UpdatePlanResponse, error) {
	id := planID(req.GetPlan().GetName())
	change := func(f *tenancy.PlanFields) error {
		return applyPlanMask(f, req.GetPlan(), req.GetUpdateMask().GetPaths())
	}
	before, err := s.store.Plan(ctx, id)
	if err != nil {
		return nil, err
	}
	after := tenancy.PlanFieldsOf(before)
	if err := change(&after); err != nil {
		return nil, err
	}
	var impacts tenancy.Impacts
	if after.Terms.Validate() == nil && after.Terms.Lowers(before.Terms) {
		if impacts, err = s.tenancy.WeighPlan(ctx, s.store, id, after.Terms); err != nil {
			return nil, err
		}
	}
	if err := impacts.Refusal(req.GetAcceptLowering()); err != nil && !req.GetValidateOnly() {
		return nil, err
	}
	resp, err := preview(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.UpdatePlanResponse, error) {
		p, err := s.tenancy.UpdatePlan(ctx, tx, id, req.GetPlan().GetEtag(), change)
		if err != nil {
			return nil, err
		}
		return &adminv1.UpdatePlanResponse{Plan: planProto(p), Impacts: impactsProto(impacts)}, nil
	}, func(context.Context, *store.Tx) (touched, error) {
		return overLimits(impacts), nil
	})
	if err != nil || req.GetValidateOnly() {
		return resp, err
	}
	s.follow(ctx, "plan", func(ctx context.Context) error { return s.tenancy.SpreadPlan(ctx, s.store, id) })
	if p, err := s.store.Plan(ctx, id); err == nil {
		resp.Plan = planProto(p)
	}
	return resp, nil
}

// DeletePlan implements covey.admin.v1.
func (s *staffPlans) DeletePlan(ctx context.Context, req *adminv1.DeletePlanRequest) (*adminv1.DeletePlanResponse, error) {
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.DeletePlanResponse, error) {
		return &adminv1.DeletePlanResponse{}, s.tenancy.DeletePlan(ctx, tx, planID(req.GetName()), req.GetEtag())
	})
}

// ListPlanOrganizations implements covey.admin.v1.
func (s *staffPlans) ListPlanOrganizations(ctx context.Context, req *adminv1.ListPlanOrganizationsRequest) (*adminv1.ListPlanOrganizationsResponse, error) {
	page, err := store.ParsePage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	id := planID(req.GetParent())
	if _, err := s.store.Plan(ctx, id); err != nil {
		return nil, err
	}
	list, next, err := s.store.PlanOrganizations(ctx, id, page)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ListPlanOrganizationsResponse{NextPageToken: store.Token(next)}
	for _, o := range list {
		resp.Organizations = append(resp.Organizations, &adminv1.PlanOrganization{
			Organization: tenancy.OrganizationName(o.Organization), Generation: o.Generation, Behind: o.Behind,
		})
	}
	return resp, nil
}

// AssignPlan implements covey.admin.v1.
func (s *staffPlans) AssignPlan(ctx context.Context, req *adminv1.AssignPlanRequest) (*adminv1.AssignPlanResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	var impacts tenancy.Impacts
	resp, err := preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*adminv1.AssignPlanResponse, error) {
		out, err := s.tenancy.AssignPlan(ctx, tx, "AssignPlan", planID(req.GetPlan()), req.GetAcceptLowering(), req.GetValidateOnly())
		if err != nil {
			return nil, err
		}
		impacts = out.Impacts
		plan, err := organizationPlan(ctx, tx, n.organization, out.Terms, tx.Now)
		if err != nil {
			return nil, err
		}
		return &adminv1.AssignPlanResponse{
			OrganizationPlan: plan, Impacts: impactsProto(out.Impacts), Operation: operationOrNil(n.organization, out.Operation),
		}, nil
	}, func(context.Context, *store.Tx) (touched, error) {
		return overLimits(impacts), nil
	})
	if err == nil {
		s.spread(ctx, n.organization, resp.GetOperation())
	}
	return resp, err
}

var overrideRE = regexp.MustCompile(`^(organizations/([^/]+)(?:/accounts/([^/]+))?)/quotaOverrides/([^/]+)$`)

// parseOverride reads the name of an override.
func parseOverride(name string) (organization, account, limit string, err error) {
	m := overrideRE.FindStringSubmatch(name)
	if m == nil {
		return "", "", "", errs.New(errs.Invalid, "INVALID_NAME", "%q is not the name of an override", name).
			WithNext("names look like organizations/acme/quotaOverrides/connections")
	}
	return m[2], m[3], m[4], nil
}

// SetQuotaOverride implements covey.admin.v1.
func (s *staffPlans) SetQuotaOverride(ctx context.Context, req *adminv1.SetQuotaOverrideRequest) (*adminv1.SetQuotaOverrideResponse, error) {
	organization, account, limit, err := parseOverride(req.GetName())
	if err != nil {
		return nil, err
	}
	in := tenancy.NewOverride{
		Account: account, Limit: limit, Value: plainQuota(req.GetValue()), Reason: req.GetReason(), Actor: callOf(ctx).principal.KeyID,
		Accept: req.GetAcceptLowering(), Dry: req.GetValidateOnly(),
	}
	if t := req.GetExpireTime(); t != nil {
		in.Expires = t.AsTime()
	}
	var impacts tenancy.Impacts
	resp, err := preview(ctx, s.Server, req, organization, func(ctx context.Context, tx *store.Tx) (*adminv1.SetQuotaOverrideResponse, error) {
		o, out, err := s.tenancy.SetOverride(ctx, tx, "SetQuotaOverride", in)
		if err != nil {
			return nil, err
		}
		impacts = out.Impacts
		return &adminv1.SetQuotaOverrideResponse{
			QuotaOverride: overrideProto(organization, account, limit, o, tx.Now), Impacts: impactsProto(out.Impacts),
			Operation: operationOrNil(organization, out.Operation),
		}, nil
	}, func(context.Context, *store.Tx) (touched, error) {
		return overLimits(impacts), nil
	})
	if err == nil {
		s.spread(ctx, organization, resp.GetOperation())
	}
	return resp, err
}

// DeleteQuotaOverride implements covey.admin.v1.
func (s *staffPlans) DeleteQuotaOverride(ctx context.Context, req *adminv1.DeleteQuotaOverrideRequest) (*adminv1.DeleteQuotaOverrideResponse, error) {
	organization, account, limit, err := parseOverride(req.GetName())
	if err != nil {
		return nil, err
	}
	in := tenancy.NewOverride{Account: account, Limit: limit, Accept: req.GetAcceptLowering(), Dry: req.GetValidateOnly()}
	var impacts tenancy.Impacts
	resp, err := preview(ctx, s.Server, req, organization, func(ctx context.Context, tx *store.Tx) (*adminv1.DeleteQuotaOverrideResponse, error) {
		out, err := s.tenancy.RemoveOverride(ctx, tx, "DeleteQuotaOverride", in)
		if err != nil {
			return nil, err
		}
		impacts = out.Impacts
		return &adminv1.DeleteQuotaOverrideResponse{Impacts: impactsProto(out.Impacts), Operation: operationOrNil(organization, out.Operation)}, nil
	}, func(context.Context, *store.Tx) (touched, error) {
		return overLimits(impacts), nil
	})
	if err == nil {
		s.spread(ctx, organization, resp.GetOperation())
	}
	return resp, err
}

func operationOrNil(organization string, o *store.Operation) *apiv1.Operation {
	if o == nil {
		return nil
	}
	return operationProto(organization, *o)
}

// spreadTime is how long a call brings what it changed to accounts and
// organizations; what is left by then the leading control plane does.
const spreadTime = 5 * time.Second

// follow does what follows a change that is made. That it cannot be done now is
// no failure of the call.
func (s *Server) follow(ctx context.Context, what string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, spreadTime)
	defer cancel()
	if err := do(ctx); err != nil {
		s.log.InfoContext(ctx, "the rest of a change follows later", "what", what, "err", err)
	}
}

// spread brings a change of an organization to the claims of its accounts, and
// the answer's operation up to date.
func (s *Server) spread(ctx context.Context, organization string, op *apiv1.Operation) {
	if !op.GetSpreading() {
		return
	}
	s.follow(ctx, "organization", func(ctx context.Context) error { return s.tenancy.Spread(ctx, s.store, organization) })
	v, err := s.store.View(store.Everything(), organization)
	if err != nil {
		return
	}
	now, err := v.Operation(ctx, op.GetName()[strings.LastIndexByte(op.GetName(), '/')+1:])
	if err != nil {
		return
	}
	op.Revision, op.Spreading = now.Revision, now.Spreading
	s.stampOperation(ctx, op)
}

// limitProto is one limit in force.
func limitProto(l accounts.EffectiveLimit) *apiv1.EffectiveLimit {
	out := &apiv1.EffectiveLimit{Limit: l.Name, Layer: l.Layer}
	if l.Value != nil {
		q := quotaProto(*l.Value)
		out.Value, out.Burst, out.Policy = &l.Value.Amount, q.GetBurst(), q.GetPolicy()
	}
	return out
}

// mayChange is tenancy.MayChange before a change begins.
func (s *Server) mayChange(ctx context.Context, organization string) error {
	scope := callOf(ctx).principal.Scope()
	if scope.Covers("") {
		return nil
	}
	v, err := s.store.View(scope, organization)
	if err != nil {
		return err
	}
	return tenancy.MayChange(ctx, v)
}
