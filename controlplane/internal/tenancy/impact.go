package tenancy

import (
	"context"
	"fmt"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// Impact is one limit that a change of what an organization is granted lowers,
// or that does not fit into it. Account is "" when it is of the organization.
type Impact struct {
	Organization, Account string
	PublicKey             string // of the account
	Limit                 string
	Before, After         *accounts.Quota // nil: not limited
	Refused               bool            // the change is not made because of this one
}

// impactsMax is how many impacts an answer lists.
const impactsMax = 200

// Impacts is what a change does to limits. Lowered and Refused count all, List
// has the first ones.
type Impacts struct {
	List             []Impact
	Lowered, Refused int

	// Limited are the accounts that may have fewer connections, the first ones;
	// LimitedMore says that there are others.
	Limited     []LimitedAccount
	LimitedMore bool
}

// LimitedAccount is an account and how many connections it may have.
type LimitedAccount struct {
	Organization, Account, PublicKey string
	Connections                      int64
}

// limitedMax is how many accounts are looked at for connections: each question to
// the brokers takes some hundreds.
const limitedMax = 10_000

func (i *Impacts) add(one Impact) {
	if one.Refused {
		i.Refused++
	} else {
		i.Lowered++
	}
	if len(i.List) < impactsMax {
		i.List = append(i.List, one)
	}
	if one.Limit == limitConnections && one.PublicKey != "" && one.After != nil && !one.Refused {
		i.limit(LimitedAccount{one.Organization, one.Account, one.PublicKey, one.After.Amount})
	}
}

func (i *Impacts) limit(all ...LimitedAccount) {
	room := limitedMax - len(i.Limited)
	i.LimitedMore = i.LimitedMore || len(all) > room
	i.Limited = append(i.Limited, all[:min(len(all), room)]...)
}

// Add counts further impacts.
func (i *Impacts) Add(o Impacts) {
	i.Lowered += o.Lowered
	i.Refused += o.Refused
	i.List = append(i.List, o.List[:min(len(o.List), impactsMax-len(i.List))]...)
	i.LimitedMore = i.LimitedMore || o.LimitedMore
	i.limit(o.Limited...)
}

// Refusal says why a change with these impacts is not made; nil if it is.
// accept takes it that accounts get less than they have.
func (i *Impacts) Refusal(accept bool) error {
	describe := func(refused bool) string {
		for _, one := range i.List {
			if one.Refused == refused {
				return one.String()
			}
		}
		return "too many to list"
	}
	switch {
	case i.Refused > 0:
		return errs.New(errs.Precondition, "PLAN_BELOW_USE", "%d limits are below what was given out; the first: %s", i.Refused, describe(true)).
			WithNext("have less of it first, or override the limit for the organization; validate_only lists all")
	case i.Lowered > 0 && !accept:
		return errs.New(errs.Precondition, "LIMITS_LOWERED", "%d limits of accounts become lower; the first: %s", i.Lowered, describe(false)).
			WithField("accept_lowering").WithNext("look at what validate_only lists, and say that you mean it with accept_lowering")
	}
	return nil
}

// String tells of an impact in one line.
func (i Impact) String() string {
	amount := func(q *accounts.Quota) string {
		if q == nil {
			return "unlimited"
		}
		return q.String()
	}
	name := OrganizationName(i.Organization)
	if i.Account != "" {
		name = AccountName(i.Organization, i.Account)
	}
	return fmt.Sprintf("%s %s: %s, then %s", name, i.Limit, amount(i.Before), amount(i.After))
}

// weigh says what it does to an organization to be granted next, and puts what
// is allocated then into next. changed are the accounts whose limits change.
func weigh(ctx context.Context, v countingView, before store.OrgTerms, next *store.OrgTerms) (out Impacts, changed bool, err error) {
	all, err := v.AllAccounts(ctx)
	if err != nil {
		return out, false, err
	}
	next.Allocated = nil
	for _, a := range all {
		changed = weighAccount(v.Organization(), a, before, *next, &out) || changed
		next.Allocated, _ = addAllocated(next.Allocated, nil, allocated(*next, &a))
	}
	for _, a := range next.Terms.Allowances(next.Overrides, nil) {
		if n := next.Allocated[a.Kind.Name]; a.Total != nil && n > a.Total.Amount {
			before := &accounts.Quota{Amount: n}
			if n >= accounts.Unbounded {
				before = nil
			}
			out.add(Impact{Organization: v.Organization(), Limit: a.Kind.Name, Before: before, After: a.Total, Refused: true})
		}
	}
	err = weighCounts(ctx, v, before, next, &out)
	return out, changed, err
}

// weighAccount looks at one account, and reports whether its limits change. What
// it states itself of what all have together was given to it: that is not taken
// away.
func weighAccount(organization string, a store.Account, before, next store.OrgTerms, out *Impacts) (changed bool) {
	was, is := before.Terms.Allowances(before.Overrides, a.Overrides), next.Terms.Allowances(next.Overrides, a.Overrides)
	for i, now := range is {
		own := now.Kind.Of(a.Limits)
		had, _ := was[i].In(own)
		has, _ := now.In(own)
		if same(had, has) {
			continue
		}
		changed = true
		if below(has, had) {
			given := own != nil && (now.OfAll || was[i].OfAll) && (had == nil || has.Amount < had.Amount)
			out.add(Impact{Organization: organization, Account: a.ID, PublicKey: a.PublicKey, Limit: now.Kind.Name, Before: had, After: has, Refused: given})
		}
	}
	return changed
}

// countingView is what weigh reads from.
type countingView interface {
	Organization() string
	AllAccounts(ctx context.Context) ([]store.Account, error)
	CountAccounts(ctx context.Context) (int64, error)
	CountUsers(ctx context.Context) (int64, error)
}

// weighCounts looks at how many accounts and users there may be.
func weighCounts(ctx context.Context, v countingView, before store.OrgTerms, next *store.OrgTerms, out *Impacts) error {
	for name, count := range map[string]func(context.Context) (int64, error){
		accounts.CountAccounts: v.CountAccounts, accounts.CountUsers: v.CountUsers,
	} {
		most, _ := next.Terms.Count(name, next.Overrides)
		was, _ := before.Terms.Count(name, before.Overrides)
		if most == nil || was != nil && *was <= *most {
			continue
		}
		n, err := count(ctx)
		if err != nil {
			return err
		}
		if n > *most {
			out.add(Impact{Organization: v.Organization(), Limit: name, Before: &accounts.Quota{Amount: n}, After: &accounts.Quota{Amount: *most}, Refused: true})
		}
	}
	return nil
}

func same(a, b *accounts.Quota) bool { return a == b || a != nil && b != nil && *a == *b }

// below reports whether a allows less than b, or treats what is over it in
// another way.
func below(a, b *accounts.Quota) bool {
	return a != nil && (b == nil || a.Amount < b.Amount || a.Burst < b.Burst || a.Policy != b.Policy)
}
