package api

import (
	"context"
	"strings"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type alertService struct {
	apiv1.UnimplementedAlertServiceServer
	*Server
}

// ReceiverTest is what came of trying a receiver out.
type ReceiverTest struct {
	ID     string // of the notification
	Status int    // 0: the receiver was not reached
	Answer string
	Err    error // why it did not take it
}

// Receivers tries receivers of alerts out.
type Receivers interface {
	// TestReceiver posts a notification that is none to a policy's receiver, once.
	TestReceiver(ctx context.Context, organization string, p store.AlertPolicy) (ReceiverTest, error)
}

const severityPrefix = "ALERT_SEVERITY_"

func severityProto(severity string) apiv1.AlertSeverity {
	return apiv1.AlertSeverity(apiv1.AlertSeverity_value[severityPrefix+strings.ToUpper(severity)])
}

func severityFrom(s apiv1.AlertSeverity) string {
	if s == apiv1.AlertSeverity_ALERT_SEVERITY_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(s.String(), severityPrefix))
}

// watchedAccount is the name of an account that is looked at; none has none.
func watchedAccount(organization, account string) string {
	if account == "" {
		return ""
	}
	return tenancy.AccountName(organization, account)
}

func alertPolicyProto(organization string, p store.AlertPolicy) *apiv1.AlertPolicy {
	out := &apiv1.AlertPolicy{
		Name: tenancy.AlertPolicyName(organization, p.ID), Uid: p.UID, DisplayName: p.DisplayName, Metric: p.Metric,
		Account: watchedAccount(organization, p.Account), LimitPercents: p.Rule.Percents, FixedValue: p.Rule.Fixed,
		Severity: severityProto(p.Severity), HoldSeconds: int64(p.Rule.Hold.Seconds()), Disabled: p.Disabled,
		CreateTime: timestamp(p.CreateTime), UpdateTime: timestamp(p.UpdateTime), Etag: tenancy.Etag(p.Revision),
	}
	if p.Host != "" {
		out.Webhook = &apiv1.AlertWebhook{Host: p.Host, Signed: p.Signed}
	}
	return out
}

func alertFieldsFrom(in *apiv1.AlertPolicy) tenancy.AlertPolicyFields {
	return tenancy.AlertPolicyFields{
		DisplayName: in.GetDisplayName(), Severity: severityFrom(in.GetSeverity()), Disabled: in.GetDisabled(), Hook: hookFrom(in.GetWebhook()),
		Rule: accounts.AlertRule{Percents: in.GetLimitPercents(), Fixed: in.GetFixedValue(), Hold: seconds(in.GetHoldSeconds())},
	}
}

func hookFrom(in *apiv1.AlertWebhook) *tenancy.AlertHook {
	return &tenancy.AlertHook{URL: in.GetUrl(), Secret: in.GetSecret()}
}

// CreateAlertPolicy implements apiv1.AlertServiceServer.
func (s *alertService) CreateAlertPolicy(ctx context.Context, req *apiv1.CreateAlertPolicyRequest) (*apiv1.CreateAlertPolicyResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	in := req.GetAlertPolicy()
	account := ""
	if in.GetAccount() != "" {
		about := aboutOf(in.GetAccount())
		if about.Organization != n.organization {
			return nil, errs.New(errs.Precondition, "ACCOUNT_NOT_FOUND", "there is no account %q", in.GetAccount()).WithField("alert_policy.account")
		}
		account = about.Account
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateAlertPolicyResponse, error) {
		p, err := s.tenancy.CreateAlertPolicy(ctx, tx, req.GetAlertPolicyId(), in.GetMetric(), account, alertFieldsFrom(in))
		if err != nil {
			return nil, err
		}
		return &apiv1.CreateAlertPolicyResponse{AlertPolicy: alertPolicyProto(n.organization, p)}, nil
	})
}

// GetAlertPolicy implements apiv1.AlertServiceServer.
func (s *alertService) GetAlertPolicy(ctx context.Context, req *apiv1.GetAlertPolicyRequest) (*apiv1.GetAlertPolicyResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	p, err := v.AlertPolicy(ctx, n.alertPolicy)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetAlertPolicyResponse{AlertPolicy: alertPolicyProto(n.organization, p)}, nil
}

// ListAlertPolicies implements apiv1.AlertServiceServer.
func (s *alertService) ListAlertPolicies(ctx context.Context, req *apiv1.ListAlertPoliciesRequest) (*apiv1.ListAlertPoliciesResponse, error) {
	list, next, err := listInOrganization(ctx, s.Server, req, (*store.View).AlertPolicies, alertPolicyProto)
	return &apiv1.ListAlertPoliciesResponse{AlertPolicies: list, NextPageToken: next}, err
}

// UpdateAlertPolicy implements apiv1.AlertServiceServer.
func (s *alertService) UpdateAlertPolicy(ctx context.Context, req *apiv1.UpdateAlertPolicyRequest) (*apiv1.UpdateAlertPolicyResponse, error) {
	in := req.GetAlertPolicy()
	n, err := parseName(in.GetName())
	if err != nil {
		return nil, err
	}
	if n.alertPolicy == "" {
		return nil, errs.New(errs.Invalid, "INVALID_NAME", "alert_policy.name names no alert policy").WithField("alert_policy.name")
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.UpdateAlertPolicyResponse, error) {
		p, err := s.tenancy.UpdateAlertPolicy(ctx, tx, n.alertPolicy, in.GetEtag(), func(f *tenancy.AlertPolicyFields) error {
			return applyAlertMask(f, in, req.GetUpdateMask().GetPaths())
		})
		if err != nil {
			return nil, err
		}
		return &apiv1.UpdateAlertPolicyResponse{AlertPolicy: alertPolicyProto(n.organization, p)}, nil
	})
}

// applyAlertMask puts the fields that a mask names into f.
func applyAlertMask(f *tenancy.AlertPolicyFields, in *apiv1.AlertPolicy, paths []string) error {
	from := alertFieldsFrom(in)
	for _, path := range paths {
		switch path {
		case "*":
			if in.GetWebhook() != nil && in.GetWebhook().GetUrl() == "" {
				// What was read has no URL: written back it would lose it.
				return errs.New(errs.Invalid, "INVALID_WEBHOOK", "the webhook has no URL").WithField("alert_policy.webhook.url").
					WithNext("give it again, with its secret, or name the fields that change")
			}
			*f = from
		case "display_name":
			f.DisplayName = from.DisplayName
		case "limit_percents":
			f.Rule.Percents = from.Rule.Percents
		case "fixed_value":
			f.Rule.Fixed = from.Rule.Fixed
		case "hold_seconds":
			f.Rule.Hold = from.Rule.Hold
		case "severity":
			f.Severity = from.Severity
		case "webhook":
			f.Hook = from.Hook
		case "disabled":
			f.Disabled = from.Disabled
		default:
			return errs.New(errs.Invalid, "INVALID_MASK", "%q is not a writable field of an alert policy", path).
				WithField("update_mask").WithNext("writable are display_name, limit_percents, fixed_value, severity, hold_seconds, webhook and disabled; what is looked at never changes")
		}
	}
	return nil
}

// DeleteAlertPolicy implements apiv1.AlertServiceServer.
func (s *alertService) DeleteAlertPolicy(ctx context.Context, req *apiv1.DeleteAlertPolicyRequest) (*apiv1.DeleteAlertPolicyResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteAlertPolicyResponse, error) {
		return &apiv1.DeleteAlertPolicyResponse{}, s.tenancy.DeleteAlertPolicy(ctx, tx, n.alertPolicy, req.GetEtag())
	})
}

// TestAlertPolicy implements apiv1.AlertServiceServer. That somebody did it is in
// the audit log.
func (s *alertService) TestAlertPolicy(ctx context.Context, req *apiv1.TestAlertPolicyRequest) (*apiv1.TestAlertPolicyResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	p, err := v.AlertPolicy(ctx, n.alertPolicy)
	if err != nil {
		return nil, err
	}
	out, err := s.receivers.TestReceiver(ctx, n.organization, p)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.TestAlertPolicyResponse{
		Delivered: out.Err == nil, NotificationId: out.ID, HttpStatus: int32(out.Status), Answer: out.Answer, //nolint:gosec // three digits
	}
	said := "the receiver took it"
	if out.Err != nil {
		resp.Error = clip(out.Err.Error())
		said = "the receiver did not take it"
	}
	call := callOf(ctx)
	c := store.Change{
		Scope: call.principal.Scope(), Organization: n.organization, Actor: call.principal.KeyID, Method: "TestAlertPolicy", Target: req.GetName(), Reason: said,
	}
	_, _, err = store.Update(ctx, s.store, c, func(context.Context, *store.Tx) (struct{}, store.Outcome, error) {
		return struct{}{}, store.Outcome{}, nil
	})
	return resp, err
}
