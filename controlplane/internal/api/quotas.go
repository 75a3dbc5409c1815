package api

import (
	"strings"

	"github.com/coveymq/covey/accounts"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// quotaField is a field of Limits that is a quota.
type quotaField struct {
	name  string // in accounts
	field string // in the API
	value **apiv1.Quota
}

func quotaFields(l *apiv1.Limits) []quotaField {
	return []quotaField{
		{accounts.MessagesIn, "msgs_in", &l.MsgsIn},
		{accounts.BytesIn, "bytes_in", &l.BytesIn},
		{accounts.MessagesOut, "msgs_out", &l.MsgsOut},
		{accounts.BytesOut, "bytes_out", &l.BytesOut},
		{accounts.Connects, "connects", &l.Connects},
		{accounts.Subscribes, "subscribes", &l.Subscribes},
		{accounts.Subscriptions, "total_subscriptions", &l.TotalSubscriptions},
		{accounts.PendingBytes, "pending_bytes", &l.PendingBytes},
		{accounts.UserConnections, "user_connections", &l.UserConnections},
		{accounts.Weight, "weight", &l.Weight},
	}
}

func quotaProto(q accounts.Quota) *apiv1.Quota {
	policy := apiv1.Quota_Policy_value["POLICY_"+strings.ToUpper(string(q.Policy))]
	return &apiv1.Quota{Amount: q.Amount, Burst: q.Burst, Policy: apiv1.Quota_Policy(policy)}
}

// quotaFrom completes a quota; one that is not valid is left as it is, for who
// validates it.
func quotaFrom(name string, in *apiv1.Quota) accounts.Quota {
	q := accounts.Quota{Amount: in.GetAmount(), Burst: in.GetBurst()}
	if p := in.GetPolicy(); p != apiv1.Quota_POLICY_UNSPECIFIED {
		q.Policy = accounts.Policy(strings.ToLower(strings.TrimPrefix(p.String(), "POLICY_")))
	}
	if complete, err := accounts.NewQuota(name, q); err == nil {
		return complete
	}
	return q
}

// applyQuota puts one quota, or that there is none, into to. It reports whether
// the path names one.
func applyQuota(to *accounts.Limits, from accounts.Limits, path string) bool {
	for _, f := range quotaFields(&apiv1.Limits{}) {
		if path != "limits."+f.field {
			continue
		}
		next := make(accounts.Quotas, len(to.Quotas)+1)
		for name, q := range to.Quotas {
			next[name] = q
		}
		delete(next, f.name)
		if q, ok := from.Quotas[f.name]; ok {
			next[f.name] = q
		}
		to.Quotas = next
		return true
	}
	return false
}

// applyUserLimit puts one limit of a role or a user into to. It reports whether the
// path names one; that it may not have it is for who validates to say.
func applyUserLimit(to *accounts.Limits, from accounts.Limits, path string) bool {
	return applyLimit(to, from, path) == nil
}
