package api

import (
	"context"
	"strings"
	"time"

	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type access struct {
	apiv1.UnimplementedAccessServiceServer
	*Server
}

// GetCaller implements apiv1.AccessServiceServer.
func (s *access) GetCaller(ctx context.Context, _ *apiv1.GetCallerRequest) (*apiv1.GetCallerResponse, error) {
	p := callOf(ctx).principal
	resp := &apiv1.GetCallerResponse{
		KeyId: p.KeyID, KeyExpireTime: timestamp(p.KeyExpireTime), Holder: tenancy.HolderName(p.Organization, p.Holder()),
		RoleBindings: bindingsProto(p.Organization, p.Bindings),
	}
	if p.Organization != "" {
		resp.Organization = tenancy.OrganizationName(p.Organization)
	}
	return resp, nil
}

// TestPermissions implements apiv1.AccessServiceServer. It asks the same
// function that admits calls.
func (s *access) TestPermissions(ctx context.Context, req *apiv1.TestPermissionsRequest) (*apiv1.TestPermissionsResponse, error) {
	known := map[string]string{} // by short name
	all := authz.Methods()
	for _, method := range all {
		known[shortMethod(method)] = method
	}
	asked := req.GetMethods()
	if len(asked) == 0 {
		for _, method := range all {
			asked = append(asked, shortMethod(method))
		}
	}
	resp := &apiv1.TestPermissionsResponse{}
	for _, short := range asked {
		method, ok := known[short]
		if !ok {
			return nil, errs.New(errs.Invalid, "UNKNOWN_METHOD", "the API has no method %q", short).WithField("methods").
				WithNext("methods look like AccountService/SuspendAccount")
		}
		if authz.Decide(callOf(ctx).principal, method, aboutOf(req.GetName())) == authz.Allowed {
			resp.Methods = append(resp.Methods, short)
		}
	}
	return resp, nil
}

// shortMethod takes the package off a method's full name, if it is the public
// API's.
func shortMethod(method string) string {
	return strings.TrimPrefix(strings.TrimPrefix(method, "/covey.api.v1."), "/")
}

// ExplainAccess implements apiv1.AccessServiceServer.
func (s *access) ExplainAccess(ctx context.Context, req *apiv1.ExplainAccessRequest) (*apiv1.ExplainAccessResponse, error) {
	try := tenancy.Attempt{
		Subject: req.GetSubject(), Queue: req.GetQueueGroup(), Credential: req.GetCredentialId(),
		Subscribe: req.GetAction() == apiv1.ExplainAccessRequest_ACTION_SUBSCRIBE,
	}
	connects := req.GetAction() == apiv1.ExplainAccessRequest_ACTION_CONNECT
	if !connects && try.Subject == "" {
		return nil, tenancy.ErrNoSubject
	}
	if connects && try.Subject != "" || !try.Subscribe && try.Queue != "" {
		return nil, errs.New(errs.Invalid, "INVALID_FIELD", "connecting has no subject, and only subscriptions have a queue group").WithField("action")
	}
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	findings, allowed, err := s.tenancy.Explain(ctx, v, n.account, n.user, try, time.Now())
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ExplainAccessResponse{Allowed: allowed}
	for _, f := range findings {
		outcome := map[tenancy.FindingOutcome]apiv1.AccessFinding_Outcome{
			tenancy.Allows: apiv1.AccessFinding_OUTCOME_ALLOWS, tenancy.Refuses: apiv1.AccessFinding_OUTCOME_REFUSES, tenancy.Notes: apiv1.AccessFinding_OUTCOME_NOTE,
		}[f.Outcome]
		resp.Findings = append(resp.Findings, &apiv1.AccessFinding{Layer: f.Layer, Outcome: outcome, Detail: f.Detail, Next: f.Next})
	}
	return resp, nil
}

// GetEffectiveLimits implements apiv1.AccessServiceServer.
func (s *access) GetEffectiveLimits(ctx context.Context, req *apiv1.GetEffectiveLimitsRequest) (*apiv1.GetEffectiveLimitsResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	a, err := v.Account(ctx, n.account)
	if err != nil {
		return nil, err
	}
	standing, err := tenancy.StandingOf(ctx, v)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.GetEffectiveLimitsResponse{}
	for _, l := range standing.Effective(a) {
		resp.Limits = append(resp.Limits, limitProto(l))
	}
	return resp, nil
}
