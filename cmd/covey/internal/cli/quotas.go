package cli

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// quotaField is a limit of Covey's own, by the name that people and claims use.
type quotaField struct {
	name, path string
	value      **apiv1.Quota
}

func quotaFields(l *apiv1.Limits) []quotaField {
	return []quotaField{
		{"msgs-in", "limits.msgs_in", &l.MsgsIn},
		{"bytes-in", "limits.bytes_in", &l.BytesIn},
		{"msgs-out", "limits.msgs_out", &l.MsgsOut},
		{"bytes-out", "limits.bytes_out", &l.BytesOut},
		{"connects", "limits.connects", &l.Connects},
		{"subscribes", "limits.subscribes", &l.Subscribes},
		{"subscriptions", "limits.total_subscriptions", &l.TotalSubscriptions},
		{"pending", "limits.pending_bytes", &l.PendingBytes},
		{"user-connections", "limits.user_connections", &l.UserConnections},
		{"weight", "limits.weight", &l.Weight},
	}
}

func quotaNames() string {
	var names []string
	for _, f := range quotaFields(&apiv1.Limits{}) {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// readQuotas puts what --limit says into limits and the mask.
func readQuotas(texts []string, limits *apiv1.Limits, mask *fieldmaskpb.FieldMask) error {
	fields := quotaFields(limits)
	seen := make(map[string]bool)
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return term.Usagef("for example --limit msgs-in=1000/2000/slow", "--limit %q names no amount", text)
		}
		if seen[name] {
			return term.Usagef("give each limit once", "--limit %s is given twice", name)
		}
		seen[name] = true
		known := false
		for _, field := range fields {
			if field.name != name {
				continue
			}
			known = true
			mask.Paths = append(mask.Paths, field.path)
			if value == unlimited {
				continue
			}
			q, err := parseQuota(text, value)
			if err != nil {
				return err
			}
			*field.value = q
		}
		if !known {
			return term.Usagef("there are "+quotaNames(), "--limit %s: there is no such limit", name)
		}
	}
	return nil
}

// parseQuota reads amount[/burst[/policy]]; what is left out is the server's to
// choose.
func parseQuota(text, value string) (*apiv1.Quota, error) {
	bad := term.Usagef("write amount, amount/burst or amount/burst/policy, for example 1000/2000/slow", "--limit %q cannot be understood", text)
	parts := strings.Split(value, "/")
	if len(parts) > 3 {
		return nil, bad
	}
	q := &apiv1.Quota{}
	for i, to := range []*int64{&q.Amount, &q.Burst} {
		if i >= len(parts) || i > 0 && parts[i] == "" {
			continue
		}
		n, err := strconv.ParseInt(parts[i], 10, 64)
		if err != nil || n < 0 {
			return nil, bad
		}
		*to = n
	}
	if len(parts) == 3 {
		policy, ok := apiv1.Quota_Policy_value["POLICY_"+strings.ToUpper(parts[2])]
		if !ok || policy == 0 {
			return nil, bad
		}
		q.Policy = apiv1.Quota_Policy(policy)
	}
	return q, nil
}

// quotaPairs shows the limits that are set.
func quotaPairs(l *apiv1.Limits) []term.Pair {
	var pairs []term.Pair
	for _, f := range quotaFields(l) {
		q := *f.value
		if q == nil {
			continue
		}
		text := strconv.FormatInt(q.GetAmount(), 10)
		if q.GetBurst() > 0 {
			text += " a second, burst " + strconv.FormatInt(q.GetBurst(), 10)
		}
		if q.GetPolicy() != apiv1.Quota_POLICY_UNSPECIFIED {
			text += ", then " + strings.ToLower(strings.TrimPrefix(q.GetPolicy().String(), "POLICY_"))
		}
		pairs = append(pairs, term.Pair{Name: "limit " + f.name, Value: text})
	}
	return pairs
}
