package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/alerts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func alertProto(organization string, a store.Alert) *apiv1.Alert {
	states := map[string]apiv1.Alert_State{
		store.AlertOpen: apiv1.Alert_STATE_OPEN, store.AlertAcknowledged: apiv1.Alert_STATE_ACKNOWLEDGED, store.AlertClosed: apiv1.Alert_STATE_CLOSED,
	}
	out := &apiv1.Alert{
		Name: tenancy.AlertName(organization, a.ID), Policy: tenancy.AlertPolicyName(organization, a.Policy), Metric: a.Metric,
		Account: watchedAccount(organization, a.Account), Severity: severityProto(a.Severity), State: states[a.State],
		LimitPercent: a.Threshold.Percent, ThresholdValue: a.At, Limit: a.Limit, Value: a.Value, Period: a.Period,
		OpenTime: timestamp(a.OpenTime), AcknowledgeTime: timestamp(a.AcknowledgeTime), Acknowledger: a.Acknowledger, Note: a.Note,
		CloseTime: timestamp(a.CloseTime), CloseReason: a.CloseReason, Etag: tenancy.Etag(a.Revision),
	}
	told := map[string]apiv1.AlertNotification_State{
		store.NotePending: apiv1.AlertNotification_STATE_PENDING, store.NoteDelivered: apiv1.AlertNotification_STATE_DELIVERED,
		store.NoteFailed: apiv1.AlertNotification_STATE_FAILED,
	}
	for _, n := range a.Notes {
		out.Notifications = append(out.Notifications, &apiv1.AlertNotification{
			Id: alerts.NotificationID(a.ID, n.Type), Type: n.Type, State: told[n.State], Attempts: int32(n.Attempts), //nolint:gosec // a day's
			LastAttemptTime: timestamp(n.Last), Error: n.Error,
		})
	}
	return out
}

// GetAlert implements apiv1.AlertServiceServer.
func (s *alertService) GetAlert(ctx context.Context, req *apiv1.GetAlertRequest) (*apiv1.GetAlertResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	a, err := v.Alert(ctx, n.alert)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetAlertResponse{Alert: alertProto(n.organization, a)}, nil
}

// ListAlerts implements apiv1.AlertServiceServer.
func (s *alertService) ListAlerts(ctx context.Context, req *apiv1.ListAlertsRequest) (*apiv1.ListAlertsResponse, error) {
	list, next, err := listInOrganization(ctx, s.Server, req, (*store.View).Alerts, alertProto)
	return &apiv1.ListAlertsResponse{Alerts: list, NextPageToken: next}, err
}

// AcknowledgeAlert implements apiv1.AlertServiceServer.
func (s *alertService) AcknowledgeAlert(ctx context.Context, req *apiv1.AcknowledgeAlertRequest) (*apiv1.AcknowledgeAlertResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.AcknowledgeAlertResponse, error) {
		a, err := s.tenancy.AcknowledgeAlert(ctx, tx, callOf(ctx).principal.KeyID, n.alert, req.GetEtag(), req.GetNote())
		if err != nil {
			return nil, err
		}
		return &apiv1.AcknowledgeAlertResponse{Alert: alertProto(n.organization, a)}, nil
	})
}
