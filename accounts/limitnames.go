package accounts

import (
	"maps"
	"slices"
)

// LimitKind is one limit by the name that plans, overrides and answers use. It
// makes one shape of those that nats-server knows and of the others.
type LimitKind struct {
	Name string
	// Sums says that what accounts have adds up to something: connections do,
	// the size of a message does not.
	Sums bool

	stock func(*Limits) **int64 // nil: it is a quota
	quota string
}

// LimitKinds returns all limits of accounts in the order in which they are shown.
func LimitKinds() []LimitKind {
	stock := func(name string, sums bool, at func(*Limits) **int64) LimitKind {
		return LimitKind{Name: name, Sums: sums, stock: at}
	}
	return []LimitKind{
		stock("connections", true, func(l *Limits) **int64 { return &l.Connections }),
		stock("subscriptions", false, func(l *Limits) **int64 { return &l.Subscriptions }),
		stock("payload_bytes", false, func(l *Limits) **int64 { return &l.PayloadBytes }),
		stock("leaf_nodes", true, func(l *Limits) **int64 { return &l.LeafNodes }),
		stock("data_bytes", true, func(l *Limits) **int64 { return &l.DataBytes }),
		{Name: "msgs_in", Sums: true, quota: MessagesIn},
		{Name: "bytes_in", Sums: true, quota: BytesIn},
		{Name: "msgs_out", Sums: true, quota: MessagesOut},
		{Name: "bytes_out", Sums: true, quota: BytesOut},
		{Name: "connects", Sums: true, quota: Connects},
		{Name: "subscribes", Sums: true, quota: Subscribes},
		{Name: "total_subscriptions", Sums: true, quota: Subscriptions},
		{Name: "pending_bytes", Sums: true, quota: PendingBytes},
		{Name: "user_connections", quota: UserConnections},
		{Name: "weight", quota: Weight},
	}
}

// LimitKindOf returns the kind of a name.
func LimitKindOf(name string) (LimitKind, bool) {
	kinds := LimitKinds()
	i := slices.IndexFunc(kinds, func(k LimitKind) bool { return k.Name == name })
	if i < 0 {
		return LimitKind{}, false
	}
	return kinds[i], true
}

// Of returns what limits say; nil is not limited.
func (k LimitKind) Of(l Limits) *Quota {
	if k.stock == nil {
		if q, ok := l.Quotas[k.quota]; ok {
			return &q
		}
		return nil
	}
	if v := *k.stock(&l); v != nil {
		return &Quota{Amount: *v}
	}
	return nil
}

// Put replaces what limits say. They share no memory with what they were.
func (k LimitKind) Put(l *Limits, q *Quota) {
	if k.stock != nil {
		*k.stock(l) = nil
		if q != nil {
			amount := q.Amount
			*k.stock(l) = &amount
		}
		return
	}
	l.Quotas = maps.Clone(l.Quotas)
	if q == nil {
		delete(l.Quotas, k.quota)
		return
	}
	if l.Quotas == nil {
		l.Quotas = Quotas{}
	}
	l.Quotas[k.quota] = *q
}

// check completes and checks one value.
func (k LimitKind) check(q Quota) (Quota, error) {
	if k.stock == nil {
		return NewQuota(k.quota, q)
	}
	if q.Burst != 0 || q.Policy != "" {
		return q, badQuota(k.Name, "is an amount, without burst or policy")
	}
	var l Limits
	k.Put(&l, &q)
	return q, l.Validate()
}
