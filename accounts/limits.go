package accounts

import (
	"maps"
	"slices"

	"github.com/coveymq/covey/internal/errs"
)

// Limits is what an account may use at once. A nil field is not limited; zero
// means none at all.
type Limits struct {
	Connections   *int64 `json:"connections,omitempty"`   // client connections at the same time
	Subscriptions *int64 `json:"subscriptions,omitempty"` // subscriptions of one connection
	PayloadBytes  *int64 `json:"payload_bytes,omitempty"` // bytes of one message, headers included
	LeafNodes     *int64 `json:"leaf_nodes,omitempty"`    // leaf node connections at the same time
	DataBytes     *int64 `json:"data_bytes,omitempty"`    // bytes in one calendar month, UTC
	Quotas        Quotas `json:"quotas,omitempty"`        // those that nats-server does not know
}

const (
	unlimited       = -1      // how claims say "no limit"
	limitMax        = 1 << 53 // the largest integer that every JSON reader keeps exact
	payloadBytesMax = 1 << 26 // 64 MiB: what nats-server takes at most
)

// Validate checks every field that is set.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name  string
		value *int64
		most  int64
	}{
		{"connections", l.Connections, limitMax},
		{"subscriptions", l.Subscriptions, limitMax},
		{"payload_bytes", l.PayloadBytes, payloadBytesMax},
		{"leaf_nodes", l.LeafNodes, limitMax},
		{"data_bytes", l.DataBytes, limitMax},
	} {
		if f.value == nil {
			continue
		}
		if *f.value < 0 || *f.value > f.most {
			return errs.New(errs.Invalid, "INVALID_LIMIT", "limits.%s is %d", f.name, *f.value).
				WithField("limits."+f.name).
				WithNext("use 0 to %d, or leave it out for no limit", f.most)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Quotas)) {
		if _, err := NewQuota(name, l.Quotas[name]); err != nil {
			return err
		}
	}
	return nil
}

// ForUsers checks that the limits are such as a role or a user may have.
func (l Limits) ForUsers() error {
	if err := l.Validate(); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		value *int64
		next  string
	}{
		{"connections", l.Connections, "use limits.user_connections, or give it to the account"},
		{"leaf_nodes", l.LeafNodes, "give it to the account"},
		{"data_bytes", l.DataBytes, "give it to the account"},
	} {
		if f.value != nil {
			return errs.New(errs.Invalid, "QUOTA_OF_ACCOUNTS", "the limit %s is of accounts, not of users", f.name).
				WithField("limits."+f.name).WithNext("%s", f.next)
		}
	}
	return l.Quotas.ForUsers()
}

// NamedLimit is one limit by its name. Value is nil when it is not limited.
type NamedLimit struct {
	Name  string
	Value *int64
}

// Each returns every limit.
func (l Limits) Each() []NamedLimit {
	return []NamedLimit{
		{"connections", l.Connections},
		{"subscriptions", l.Subscriptions},
		{"payload_bytes", l.PayloadBytes},
		{"leaf_nodes", l.LeafNodes},
		{"data_bytes", l.DataBytes},
	}
}

func orUnlimited(v *int64) int64 {
	if v == nil {
		return unlimited
	}
	return *v
}

// Equal reports whether both limit the same.
func (l Limits) Equal(other Limits) bool {
	same := func(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }
	return same(l.Connections, other.Connections) && same(l.Subscriptions, other.Subscriptions) &&
		same(l.PayloadBytes, other.PayloadBytes) && same(l.LeafNodes, other.LeafNodes) && same(l.DataBytes, other.DataBytes) &&
		l.Quotas.Equal(other.Quotas)
}
