package tenancy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// begin puts a new organization on the plan that organizations begin on.
func begin(ctx context.Context, tx *store.Tx) error {
	p, err := tx.Plan(ctx, store.DefaultPlan)
	if err != nil {
		return fmt.Errorf("read the plan that organizations begin on: %w", err)
	}
	return tx.PutTerms(ctx, store.OrgTerms{Plan: p.ID, Generation: p.Generation, Terms: p.Terms, AssignTime: tx.Now})
}

// askMore says whom to ask for more than a plan has.
const askMore = "ask the operator's staff for more; `covey org plan` shows what there is"

// allot holds an account within what its organization is granted: what it states
// itself, and what all accounts have together. before is nil of a new account,
// after of one that ends. Only what grows is refused.
func allot(ctx context.Context, tx *store.Tx, before, after *store.Account) error {
	t, err := tx.Terms(ctx)
	if err != nil {
		return err
	}
	if after != nil {
		if err := checkStated(t, before, after, tx.Now); err != nil {
			return err
		}
		if before == nil {
			if err := checkCount(ctx, tx, t, accounts.CountAccounts); err != nil {
				return err
			}
		}
	}
	was, is := allocated(t, before), allocated(t, after)
	next, changed := addAllocated(t.Allocated, was, is)
	if !changed {
		return nil
	}
	current := t.Overrides.Current(tx.Now)
	for _, a := range t.Terms.Allowances(current, nil) {
		name := a.Kind.Name
		if a.Total != nil && is[name] == accounts.Unbounded && was[name] != is[name] {
			return errs.New(errs.Exhausted, "LIMIT_REQUIRED", "%s are divided among the accounts of the organization, and this one would have no limit", name).
				WithField("limits." + name).WithQuota(name).WithNext("say how much it has")
		}
		if a.Total != nil && is[name] > was[name] && next[name] > a.Total.Amount {
			return errs.New(errs.Exhausted, "PLAN_EXHAUSTED", "%s: all accounts together would have %d, and the %s gives the organization %d", name, next[name], layerOf(t, a.TotalLayer), a.Total.Amount).
				WithField("limits."+name).WithQuota(name).WithNext("give this account or others less, or %s", askMore)
		}
	}
	t.Allocated = next
	return tx.PutTerms(ctx, t)
}

// layerOf names a layer for people.
func layerOf(t store.OrgTerms, layer string) string {
	switch layer {
	case accounts.LayerPlan:
		return fmt.Sprintf("plan %q", t.Plan)
	case accounts.LayerOrganization:
		return "operator's override"
	}
	return "operator's override for the account"
}

// allocated is what one account takes up; nil takes nothing.
func allocated(t store.OrgTerms, a *store.Account) map[string]int64 {
	if a == nil {
		return nil
	}
	return t.Terms.Allocated(a.Limits, t.Overrides, a.Overrides)
}

// allocatedMax keeps sums from running over; no plan has as much.
const allocatedMax = 1 << 60

// addAllocated returns sums in which one account takes up something else.
func addAllocated(sums, was, is map[string]int64) (map[string]int64, bool) {
	next := map[string]int64{}
	for name, n := range sums {
		next[name] = n
	}
	changed := false
	for _, k := range accounts.LimitKinds() {
		d := is[k.Name] - was[k.Name]
		if d == 0 {
			continue
		}
		changed = true
		next[k.Name] = min(max(next[k.Name]+d, 0), allocatedMax)
	}
	return next, changed
}

// checkStated refuses what an account newly states beyond what it may.
func checkStated(t store.OrgTerms, before, after *store.Account, now time.Time) error {
	for _, a := range t.Terms.Allowances(t.Overrides.Current(now), after.Overrides.Current(now)) {
		own := a.Kind.Of(after.Limits)
		if !a.Over(own) {
			continue
		}
		if before != nil {
			if was := a.Kind.Of(before.Limits); was != nil && *was == *own {
				continue // it was there when less was granted
			}
		}
		most := fmt.Sprint(a.Most.Amount)
		if a.Most.Burst > 0 {
			most += fmt.Sprintf(", burst %d", a.Most.Burst)
		}
		return errs.New(errs.Exhausted, "LIMIT_ABOVE_PLAN", "%s: the account would have %d, and the %s gives it %s at most", a.Kind.Name, own.Amount, layerOf(t, a.MostLayer), most).
			WithField("limits."+a.Kind.Name).WithQuota(a.Kind.Name).WithNext("use less, or %s", askMore)
	}
	return nil
}

// checkCount refuses one more account or user than there may be. It is asked
// after the new one is in tx or before; more says which.
func checkCount(ctx context.Context, tx *store.Tx, t store.OrgTerms, what string) error {
	most, layer := t.Terms.Count(what, t.Overrides.Current(tx.Now))
	if most == nil {
		return nil
	}
	count := tx.CountAccounts
	if what == accounts.CountUsers {
		count = tx.CountUsers
	}
	n, err := count(ctx)
	if err != nil || n < *most {
		return err
	}
	return errs.New(errs.Exhausted, "PLAN_EXHAUSTED", "the organization has %d %s, and the %s gives it %d", n, what, layerOf(t, layer), *most).
		WithField(what).WithQuota(what).WithNext("end one first, or %s", askMore)
}

// Standing is what an organization is granted, and whether it may do anything.
type Standing struct {
	Organization store.Organization
	Terms        store.OrgTerms
}

// reader is a view or a change.
type reader interface {
	Org(ctx context.Context) (store.Organization, error)
	Terms(ctx context.Context) (store.OrgTerms, error)
}

// StandingOf reads it.
func StandingOf(ctx context.Context, r reader) (Standing, error) {
	o, err := r.Org(ctx)
	if err != nil {
		return Standing{}, err
	}
	t, err := r.Terms(ctx)
	if err != nil && errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("organization %s is on no plan", o.ID)
	}
	return Standing{o, t}, err
}

// limits returns what the claims of an account say.
func (s Standing) limits(a store.Account) accounts.Limits {
	return s.Terms.Terms.Limit(a.Limits, s.Terms.Overrides, a.Overrides)
}

// The layers that take limits away, beside those of accounts.
const (
	LayerSuspension             = "suspension"
	LayerOrganizationSuspension = "organization-suspension"
	LayerOrganizationClosing    = "organization-closing"
	LayerDeletion               = "deletion"
)

// Connections is how many connections an account may have; nil is without bound.
func (s Standing) Connections(a store.Account) *int64 {
	for _, l := range s.Effective(a) {
		if l.Name == limitConnections && l.Value != nil {
			return &l.Value.Amount
		}
	}
	return nil
}

// limitConnections is the limit that brokers end connections for.
const limitConnections = "connections"

// Effective says which limits of an account are in force, and what set each.
func (s Standing) Effective(a store.Account) []accounts.EffectiveLimit {
	all := s.Terms.Terms.Effective(a.Limits, s.Terms.Overrides, a.Overrides)
	layer := ""
	switch {
	case a.Deleted():
		layer = LayerDeletion
	case s.Organization.Closing():
		layer = LayerOrganizationClosing
	case s.Organization.Suspended:
		layer = LayerOrganizationSuspension
	case a.Suspended:
		layer = LayerSuspension
	}
	for i := range all {
		if layer != "" && (all[i].Name == limitConnections || all[i].Name == "leaf_nodes") {
			all[i].Value, all[i].Layer = &accounts.Quota{}, layer
		}
	}
	return all
}
