package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func alertKinds() []*watchKind {
	const v1 = "/covey.api.v1.AlertService/"
	return []*watchKind{
		{
			collection: "alertPolicies", segment: "alert-policy", depth: 1, method: v1 + "GetAlertPolicy",
			name: func(o string, ids []string) string { return tenancy.AlertPolicyName(o, ids[0]) },
			get: func(ctx context.Context, _ *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error {
				p, err := v.AlertPolicy(ctx, ids[0])
				into.Resource = &apiv1.ResourceChange_AlertPolicy{AlertPolicy: alertPolicyProto(v.Organization(), p)}
				return err
			},
			list: func(ctx context.Context, v *store.View, _ string, p store.Page) ([][]string, string, error) {
				list, next, err := v.AlertPolicies(ctx, p)
				return idsBy(list, func(p store.AlertPolicy) []string { return []string{p.ID} }), next, err
			},
		},
		{
			collection: "alerts", segment: "alert", depth: 1, method: v1 + "GetAlert",
			name: func(o string, ids []string) string { return tenancy.AlertName(o, ids[0]) },
			get: func(ctx context.Context, _ *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error {
				a, err := v.Alert(ctx, ids[0])
				into.Resource = &apiv1.ResourceChange_Alert{Alert: alertProto(v.Organization(), a)}
				return err
			},
			list: func(ctx context.Context, v *store.View, _ string, p store.Page) ([][]string, string, error) {
				list, next, err := v.Alerts(ctx, p)
				return idsBy(list, func(a store.Alert) []string { return []string{a.ID} }), next, err
			},
		},
	}
}
