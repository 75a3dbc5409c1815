package api

import (
	"slices"
	"strings"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func planProto(p store.Plan) *apiv1.Plan {
	return &apiv1.Plan{
		Name: tenancy.PlanName(p.ID), DisplayName: p.DisplayName, Description: p.Description, Unlisted: p.Unlisted,
		Totals: limitsProto(p.Terms.Totals), Shared: p.Terms.Shared, AccountLimits: limitsProto(p.Terms.Account),
		MaxAccounts: p.Terms.Accounts, MaxUsers: p.Terms.Users, Generation: p.Generation, SpreadGeneration: p.Spread,
		CreateTime: timestamp(p.CreateTime), UpdateTime: timestamp(p.UpdateTime), Etag: tenancy.Etag(p.Revision),
	}
}

func planFieldsFrom(p *apiv1.Plan) tenancy.PlanFields {
	return tenancy.PlanFields{
		DisplayName: p.GetDisplayName(), Description: p.GetDescription(), Unlisted: p.GetUnlisted(),
		Terms: accounts.Terms{
			Totals: limitsFrom(p.GetTotals()), Shared: slices.Sorted(slices.Values(p.GetShared())), Account: limitsFrom(p.GetAccountLimits()),
			Accounts: p.MaxAccounts, Users: p.MaxUsers, //nolint:protogetter // absent is not zero
		},
	}
}

// applyPlanMask puts the fields that a mask names into f. "*" names them all.
func applyPlanMask(f *tenancy.PlanFields, in *apiv1.Plan, paths []string) error {
	from := planFieldsFrom(in)
	for _, path := range paths {
		switch path {
		case "*":
			*f = from
		case "display_name":
			f.DisplayName = from.DisplayName
		case "description":
			f.Description = from.Description
		case "unlisted":
			f.Unlisted = from.Unlisted
		case "totals":
			f.Terms.Totals = from.Terms.Totals
		case "shared":
			f.Terms.Shared = from.Terms.Shared
		case "account_limits":
			f.Terms.Account = from.Terms.Account
		case "max_accounts":
			f.Terms.Accounts = from.Terms.Accounts
		case "max_users":
			f.Terms.Users = from.Terms.Users
		default:
			if err := applyPlanLimit(f, from, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyPlanLimit puts one limit, for example totals.connections.
func applyPlanLimit(f *tenancy.PlanFields, from tenancy.PlanFields, path string) error {
	of, limit, _ := strings.Cut(path, ".")
	k, ok := accounts.LimitKindOf(limit)
	switch {
	case ok && of == "totals":
		k.Put(&f.Terms.Totals, k.Of(from.Terms.Totals))
		return nil
	case ok && of == "account_limits":
		k.Put(&f.Terms.Account, k.Of(from.Terms.Account))
		return nil
	}
	return errs.New(errs.Invalid, "INVALID_MASK", "%q is not a writable field of a plan", path).WithField("update_mask").
		WithNext("writable are display_name, description, totals, totals.<limit>, shared, account_limits, account_limits.<limit>, max_accounts, max_users and unlisted")
}

func quotaOrNil(q *accounts.Quota) *apiv1.Quota {
	if q == nil {
		return nil
	}
	return quotaProto(*q)
}

// plainQuota is a value of a limit that is not known to be a quota.
func plainQuota(q *apiv1.Quota) *accounts.Quota {
	if q == nil {
		return nil
	}
	out := accounts.Quota{Amount: q.GetAmount(), Burst: q.GetBurst()}
	if p := q.GetPolicy(); p != apiv1.Quota_POLICY_UNSPECIFIED {
		out.Policy = accounts.Policy(strings.ToLower(strings.TrimPrefix(p.String(), "POLICY_")))
	}
	return &out
}

func impactsProto(i tenancy.Impacts) *adminv1.LimitImpacts {
	out := &adminv1.LimitImpacts{Lowered: int64(i.Lowered), Refused: int64(i.Refused)}
	for _, one := range i.List {
		resource := tenancy.OrganizationName(one.Organization)
		if one.Account != "" {
			resource = tenancy.AccountName(one.Organization, one.Account)
		}
		out.Impacts = append(out.Impacts, &adminv1.LimitImpact{
			Resource: resource, Limit: one.Limit, Before: quotaOrNil(one.Before), After: quotaOrNil(one.After), Refused: one.Refused,
		})
	}
	return out
}

func overrideProto(organization, account, limit string, o accounts.Override, now time.Time) *apiv1.QuotaOverride {
	return &apiv1.QuotaOverride{
		Name: tenancy.OverrideName(organization, account, limit), Value: quotaOrNil(o.Value), Reason: o.Reason,
		CreateTime: timestamp(o.CreateTime), ExpireTime: timestamp(o.ExpireTime), Overdue: o.Overdue(now),
	}
}

func overridesProto(organization, account string, all accounts.Overrides, now time.Time) []*apiv1.QuotaOverride {
	var out []*apiv1.QuotaOverride
	for _, limit := range append(limitNames(), accounts.CountAccounts, accounts.CountUsers) {
		if o, ok := all[limit]; ok {
			out = append(out, overrideProto(organization, account, limit, o, now))
		}
	}
	return out
}

func limitNames() []string {
	var out []string
	for _, k := range accounts.LimitKinds() {
		out = append(out, k.Name)
	}
	return out
}

// grantedProto lists what is limited of an organization, without what is only
// counted.
func grantedProto(t store.OrgTerms) []*apiv1.GrantedLimit {
	var out []*apiv1.GrantedLimit
	for _, a := range t.Terms.Allowances(t.Overrides, nil) {
		if a.Most == nil && a.Grant == nil {
			continue
		}
		g := &apiv1.GrantedLimit{Limit: a.Kind.Name, Account: quotaOrNil(a.Grant), Layer: a.MostLayer}
		switch {
		case a.Total != nil:
			n := t.Allocated[a.Kind.Name]
			g.Total, g.Allocated = &a.Total.Amount, &n
		case slices.Contains(t.Terms.Shared, a.Kind.Name) && a.Most != nil:
			g.Total, g.Shared = &a.Most.Amount, true
		}
		out = append(out, g)
	}
	return out
}
