package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/accounts"
)

// DefaultPlan is the plan that organizations begin on.
const DefaultPlan = "default"

// Plan is what organizations may be granted. It belongs to the installation.
type Plan struct {
	Stored

	ID          string         `json:"id"`
	DisplayName string         `json:"display_name,omitempty"`
	Description string         `json:"description,omitempty"`
	Terms       accounts.Terms `json:"terms,omitzero"`
	Unlisted    bool           `json:"unlisted,omitempty"` // shown to those who are on it only
	Generation  int64          `json:"generation"`         // of its terms
	Spread      int64          `json:"spread"`             // the generation that all its organizations were brought to
	CreateTime  time.Time      `json:"create_time"`
	UpdateTime  time.Time      `json:"update_time"`
}

// OrgTerms is what one organization is granted: a copy of its plan's terms, so
// that what is in force there follows from its own records, and what takes their
// place.
type OrgTerms struct {
	Stored

	Plan       string             `json:"plan"`
	Generation int64              `json:"generation"` // of the plan
	Terms      accounts.Terms     `json:"terms,omitzero"`
	Overrides  accounts.Overrides `json:"overrides,omitempty"`
	Allocated  map[string]int64   `json:"allocated,omitempty"` // of divided totals, by the names of limits
	AssignTime time.Time          `json:"assign_time"`
	Behind     string             `json:"behind,omitempty"` // why it has not the plan's newest generation
}

// Spread is a change of an organization that still has to reach the claims of
// its accounts.
type Spread struct {
	Stored

	Organization string   `json:"organization"`
	After        string   `json:"after,omitempty"` // accounts up to this one are done
	Operations   []string `json:"operations"`      // that are over when all are
}

// planRef says that an organization is on a plan.
type planRef struct {
	Stored

	Organization string `json:"organization"`
	Generation   int64  `json:"generation"`
	Behind       string `json:"behind,omitempty"`
}

// PlanOrganization is an organization that is on a plan.
type PlanOrganization struct {
	Organization string
	Generation   int64
	Behind       string
}

// overrideRef says when an override is over.
type overrideRef struct {
	Stored

	Organization string    `json:"organization"`
	Account      string    `json:"account,omitempty"`
	Limit        string    `json:"limit"`
	ExpireTime   time.Time `json:"expire_time"`
}

// DueOverride is an override whose time is over. Account is "" when it is of the
// organization.
type DueOverride struct{ Organization, Account, Limit string }

func planPrefix() string                   { return root + "plan/" }
func planKey(id string) string             { return planPrefix() + id }
func planIndexPrefix(id string) string     { return root + "idx/plan/" + id + "/" }
func planIndexKey(plan, org string) string { return planIndexPrefix(plan) + org }
func spreadPrefix() string                 { return root + "idx/spread/" }
func spreadKey(org string) string          { return spreadPrefix() + org }
func expiryPrefix() string                 { return root + "idx/expiry/" }

func expiryKey(r overrideRef) string {
	account := r.Account
	if account == "" {
		account = noChain
	}
	return expiryPrefix() + fmt.Sprintf("%011d/%s/%s/%s", r.ExpireTime.Unix(), r.Organization, account, r.Limit)
}

// Plan reads one plan.
func (v *View) Plan(ctx context.Context, id string) (Plan, error) {
	var p Plan
	return p, v.load(ctx, planKey(id), &p)
}

// Plans lists all plans by id.
func (s *Store) Plans(ctx context.Context, p Page) ([]Plan, string, error) {
	return loadPage[Plan](ctx, s.newView(""), planPrefix(), p)
}

// Plan reads one plan.
func (s *Store) Plan(ctx context.Context, id string) (Plan, error) {
	return s.newView("").Plan(ctx, id)
}

// PlanOrganizations lists the organizations that are on a plan, by id. It is for
// the operator: the answer crosses organizations.
func (s *Store) PlanOrganizations(ctx context.Context, plan string, p Page) ([]PlanOrganization, string, error) {
	list, next, err := loadPage[planRef](ctx, s.newView(""), planIndexPrefix(plan), p)
	out := make([]PlanOrganization, len(list))
	for i, r := range list {
		out[i] = PlanOrganization{r.Organization, r.Generation, r.Behind}
	}
	return out, next, err
}

// PlanUsed reports whether an organization is on a plan. A Tx that commits
// conflicts with one that comes meanwhile.
func (t *Tx) PlanUsed(ctx context.Context, plan string) (bool, error) {
	t.ranges = append(t.ranges, planIndexPrefix(plan))
	list, _, err := loadPage[planRef](ctx, t.View, planIndexPrefix(plan), Page{Size: 1})
	return len(list) > 0, err
}

// CreatePlan puts a new plan.
func (t *Tx) CreatePlan(ctx context.Context, p Plan) error { return t.create(ctx, planKey(p.ID), p) }

// PutPlan replaces a plan that was read.
func (t *Tx) PutPlan(p Plan) error { return t.put(planKey(p.ID), p) }

// DeletePlan removes a plan that no organization is on.
func (t *Tx) DeletePlan(id string) { t.remove(planKey(id)) }

// Terms reads what the organization is granted.
func (v *View) Terms(ctx context.Context) (OrgTerms, error) {
	var o OrgTerms
	return o, v.load(ctx, v.orgKey("terms"), &o)
}

// Terms reads what the organization is granted, with what this change put.
func (t *Tx) Terms(ctx context.Context) (OrgTerms, error) {
	if t.terms.known {
		return t.terms.value, nil
	}
	o, err := t.View.Terms(ctx)
	if err == nil {
		t.terms.value, t.terms.known = o, true
	}
	return o, err
}

// PutTerms replaces what the organization is granted.
func (t *Tx) PutTerms(ctx context.Context, o OrgTerms) error {
	before, err := t.Terms(ctx)
	if err != nil && !isNotFound(err) {
		return err
	}
	if before.Plan != "" && before.Plan != o.Plan {
		t.remove(planIndexKey(before.Plan, t.org))
	}
	if before.Plan != o.Plan || before.Generation != o.Generation || before.Behind != o.Behind {
		if err := t.replace(planIndexKey(o.Plan, t.org), planRef{Organization: t.org, Generation: o.Generation, Behind: o.Behind}); err != nil {
			return err
		}
	}
	t.terms.value, t.terms.known = o, true
	return t.replace(t.orgKey("terms"), o)
}

// replace puts a record that this change may have put before.
func (t *Tx) replace(key string, value any) error {
	at, again := t.puts[key]
	if !again {
		if t.puts == nil {
			t.puts = map[string]int{}
		}
		t.puts[key] = len(t.ops)
		return t.put(key, value)
	}
	ops, written := t.ops, t.written
	t.ops, t.written = nil, nil
	limit := t.limit
	t.limit = 0
	err := t.put(key, value)
	t.limit = limit
	if err == nil {
		ops[at], written[at] = t.ops[0], t.written[0]
	}
	t.ops, t.written = ops, written
	return err
}

// CountUsers says how many users the organization has, with those of this change.
func (t *Tx) CountUsers(ctx context.Context) (int64, error) {
	n, err := t.View.CountUsers(ctx)
	return n + t.newUsers, err
}

// CountAccounts says how many accounts the organization has, the deleted ones
// too until they end, with those of this change.
func (t *Tx) CountAccounts(ctx context.Context) (int64, error) {
	n, err := t.View.CountAccounts(ctx)
	return n + t.newAccounts, err
}

// CountUsers says how many users the organization has.
func (v *View) CountUsers(ctx context.Context) (int64, error) { return v.count(ctx, v.orgKey("user/")) }

// CountAccounts says how many accounts the organization has, the deleted ones
// too until they end.
func (v *View) CountAccounts(ctx context.Context) (int64, error) {
	return v.count(ctx, v.orgKey("account/"))
}

// count counts keys. It needs no guard in a Tx: every change of an organization
// conflicts with every other one at the end of the audit log.
func (v *View) count(ctx context.Context, prefix string) (int64, error) {
	r, err := v.read(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, unavailable("count", err)
	}
	return r.Count, nil
}

// PutSpread notes that a change of the organization has to reach further
// accounts.
func (t *Tx) PutSpread(s Spread) error {
	s.Organization = t.org
	return t.replace(spreadKey(t.org), s)
}

// DropSpread notes that it has reached all.
func (t *Tx) DropSpread() { t.remove(spreadKey(t.org)) }

// Spread reads what still has to reach accounts.
func (v *View) Spread(ctx context.Context) (Spread, error) {
	var s Spread
	return s, v.load(ctx, spreadKey(v.org), &s)
}

// Spreading lists organizations with a change that still has to reach accounts.
// It is for the control plane's own use.
func (s *Store) Spreading(ctx context.Context, limit int) ([]string, error) {
	list, _, err := loadPage[Spread](ctx, s.newView(""), spreadPrefix(), Page{Size: limit})
	var out []string
	for _, r := range list {
		out = append(out, r.Organization)
	}
	return out, err
}

// NoteExpiry has an override be found when its time is over; one that has no end
// is left alone.
func (t *Tx) NoteExpiry(account, limit string, o accounts.Override) error {
	if o.ExpireTime.IsZero() {
		return nil
	}
	r := overrideRef{Organization: t.org, Account: account, Limit: limit, ExpireTime: o.ExpireTime}
	return t.put(expiryKey(r), r)
}

// DropExpiry takes that back.
func (t *Tx) DropExpiry(account, limit string, o accounts.Override) {
	if !o.ExpireTime.IsZero() {
		t.remove(expiryKey(overrideRef{Organization: t.org, Account: account, Limit: limit, ExpireTime: o.ExpireTime}))
	}
}

// DueOverrides lists the overrides whose time is over. It is for the control
// plane's own use: the answer crosses organizations.
func (s *Store) DueOverrides(ctx context.Context, now time.Time) ([]DueOverride, error) {
	v := s.newView("")
	var due []DueOverride
	from, end := expiryPrefix(), expiryPrefix()+fmt.Sprintf("%011d0", now.Unix()) // '0' follows '/'
	for {
		r, err := v.read(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(pageSizeMax))
		if err != nil {
			return nil, unavailable("list", err)
		}
		for _, kv := range r.Kvs {
			var ref overrideRef
			if err := decode(string(kv.Key), kv.Value, kv.ModRevision, &ref); err != nil {
				return nil, err
			}
			due = append(due, DueOverride{ref.Organization, ref.Account, ref.Limit})
		}
		if !r.More || len(r.Kvs) == 0 {
			return due, nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

// toSeven: there are plans. All organizations that are there are on the default
// one, which limits nothing. An older program would not hold them within
// anything, and sign claims that do not say it.
func toSeven(ctx context.Context, m *migration) error {
	err := m.change(ctx, "", func(ctx context.Context, tx *Tx) error {
		there, err := tx.exists(ctx, planKey(DefaultPlan))
		if err != nil || there {
			return err
		}
		return tx.PutPlan(newDefaultPlan(tx.Now))
	})
	if err != nil {
		return err
	}
	return m.each(ctx, organizationIndexPrefix(), func(ctx context.Context, kv *mvccpb.KeyValue) error {
		org := strings.TrimPrefix(string(kv.Key), organizationIndexPrefix())
		return m.change(ctx, org, func(ctx context.Context, tx *Tx) error {
			if _, err := tx.Terms(ctx); !isNotFound(err) {
				return err
			}
			return tx.PutTerms(ctx, OrgTerms{Plan: DefaultPlan, Generation: 1, AssignTime: tx.Now})
		})
	})
}

// newDefaultPlan is the plan that organizations begin on. It limits nothing until
// the operator's staff says otherwise.
func newDefaultPlan(now time.Time) Plan {
	return Plan{
		ID: DefaultPlan, DisplayName: "Default", Description: "What organizations begin on.", Generation: 1, Spread: 1, CreateTime: now, UpdateTime: now,
	}
}
