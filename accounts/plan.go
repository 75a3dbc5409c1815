package accounts

import (
	"slices"
	"time"

	"github.com/coveymq/covey/internal/errs"
)

// Terms is what a plan grants an organization.
type Terms struct {
	// Totals are for all accounts together, of limits that add up. They are
	// divided among the accounts, unless they are shared.
	Totals Limits `json:"totals,omitzero"`
	// Shared names totals that every account may have up to in full: what they
	// have together is not held within them.
	Shared []string `json:"shared,omitempty"`
	// Account is what each account has that states nothing, and may state at
	// most where there is no total.
	Account Limits `json:"account,omitzero"`
	// Accounts and Users are how many there may be; nil is not limited.
	Accounts *int64 `json:"accounts,omitempty"`
	Users    *int64 `json:"users,omitempty"`
}

// The names of how many there may be, beside those of limits.
const (
	CountAccounts = "accounts"
	CountUsers    = "users"
)

// Override takes the place of one limit of a plan.
type Override struct {
	Value      *Quota    `json:"value,omitempty"` // nil: not limited
	Reason     string    `json:"reason"`
	Actor      string    `json:"actor"`
	CreateTime time.Time `json:"create_time"`
	ExpireTime time.Time `json:"expire_time,omitzero"` // zero: never
}

// Overdue reports whether an override's time is over. It holds what was given
// by it until that is gone, and gives no more.
func (o Override) Overdue(now time.Time) bool {
	return !o.ExpireTime.IsZero() && !now.Before(o.ExpireTime)
}

// Overrides are overrides by the names of limits.
type Overrides map[string]Override

// Current returns those that are not overdue.
func (o Overrides) Current(now time.Time) Overrides {
	out := Overrides{}
	for name, override := range o {
		if !override.Overdue(now) {
			out[name] = override
		}
	}
	return out
}

// The layers that set limits.
const (
	LayerNone         = "none"
	LayerPlan         = "plan"
	LayerOrganization = "organization-override"
	LayerOverride     = "account-override"
	LayerAccount      = "account"
)

// Equal reports whether both grant the same.
func (t Terms) Equal(o Terms) bool {
	return t.Totals.Equal(o.Totals) && t.Account.Equal(o.Account) && slices.Equal(t.Shared, o.Shared) &&
		sameCount(t.Accounts, o.Accounts) && sameCount(t.Users, o.Users)
}

func sameCount(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }

// Lowers reports whether t may give anybody less than before did. When it says
// no, nobody has to be looked at.
func (t Terms) Lowers(before Terms) bool {
	for _, c := range [][2]*int64{{t.Accounts, before.Accounts}, {t.Users, before.Users}} {
		if c[0] != nil && (c[1] == nil || *c[0] < *c[1]) {
			return true
		}
	}
	for _, k := range LimitKinds() {
		if t.lowersOne(k, before) {
			return true
		}
	}
	return false
}

func (t Terms) lowersOne(k LimitKind, before Terms) bool {
	total, each := k.Of(t.Totals), k.Of(t.Account)
	wasTotal, wasEach := k.Of(before.Totals), k.Of(before.Account)
	if lowers(total, wasTotal) || lowers(each, wasEach) || !t.shared(k.Name) && before.shared(k.Name) {
		return true
	}
	// One account had what all had, or the other way round.
	return each == nil && wasEach != nil && total != nil || total == nil && wasTotal != nil && each != nil
}

func lowers(now, was *Quota) bool {
	return now != nil && (was == nil || now.Amount < was.Amount || now.Burst < was.Burst || now.Policy != was.Policy)
}

func badPlan(field, format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "INVALID_PLAN", format, args...).WithField(field)
}

// Validate checks that a plan can be kept.
func (t Terms) Validate() error {
	if err := t.Totals.Validate(); err != nil {
		return err
	}
	if err := t.Account.Validate(); err != nil {
		return err
	}
	for name, n := range map[string]*int64{CountAccounts: t.Accounts, CountUsers: t.Users} {
		if n != nil && (*n < 0 || *n > limitMax) {
			return badPlan("plan.max_"+name, "a plan cannot have %d %s", *n, name).WithNext("use 0 to %d, or leave it out for no limit", int64(limitMax))
		}
	}
	for _, name := range t.Shared {
		k, ok := LimitKindOf(name)
		if !ok || k.Of(t.Totals) == nil {
			return badPlan("plan.shared", "%q is not one of the plan's totals", name).WithNext("name a limit of totals")
		}
	}
	for _, k := range LimitKinds() {
		if err := t.validateOne(k); err != nil {
			return err
		}
	}
	return nil
}

func (t Terms) validateOne(k LimitKind) error {
	total, each := k.Of(t.Totals), k.Of(t.Account)
	switch {
	case total == nil:
	case !k.Sums:
		return badPlan("plan.totals."+k.Name, "%s of several accounts do not add up to a total", k.Name).WithNext("use account_limits.%s", k.Name)
	case each == nil && !t.shared(k.Name):
		return badPlan("plan.account_limits."+k.Name, "%s are divided among accounts, and nothing says what one has that states nothing", k.Name).
			WithNext("set account_limits.%s, or put it into shared", k.Name)
	case each != nil && !each.within(total):
		return badPlan("plan.account_limits."+k.Name, "one account would have more %s than all together", k.Name)
	}
	return nil
}

func (t Terms) shared(name string) bool { return slices.Contains(t.Shared, name) }

// within reports whether q allows no more than most; nil is no bound.
func (q *Quota) within(most *Quota) bool {
	return most == nil || q != nil && q.Amount <= most.Amount && q.Burst <= most.Burst
}

// lower returns the lower of both, with the policy of what q is held within.
func lower(q, most *Quota) *Quota {
	switch {
	case most == nil:
		return q
	case q == nil:
		return most
	}
	return &Quota{Amount: min(q.Amount, most.Amount), Burst: min(q.Burst, most.Burst), Policy: most.Policy}
}

// Allowance is what one limit of an account is held by.
type Allowance struct {
	Kind       LimitKind
	Grant      *Quota // what the account has when it states nothing
	GrantLayer string
	Most       *Quota // what it may state
	MostLayer  string
	OfAll      bool   // that is what all accounts have together, divided or shared
	Total      *Quota // of all accounts together, nil unless it is divided
	TotalLayer string
}

// Allowances resolves what holds an account: the plan, then what was overridden
// for its organization, then for itself.
func (t Terms) Allowances(organization, account Overrides) []Allowance {
	out := make([]Allowance, 0, len(LimitKinds()))
	for _, k := range LimitKinds() {
		out = append(out, t.allowance(k, organization, account))
	}
	return out
}

func (t Terms) allowance(k LimitKind, organization, account Overrides) Allowance {
	a := Allowance{Kind: k, Total: k.Of(t.Totals), TotalLayer: LayerPlan, Grant: k.Of(t.Account), GrantLayer: LayerPlan}
	o, overridden := organization[k.Name]
	switch {
	case overridden && k.Sums:
		a.Total, a.TotalLayer = o.Value, LayerOrganization
	case overridden:
		a.Grant, a.GrantLayer = o.Value, LayerOrganization
	}
	a.Most, a.MostLayer = a.Grant, a.GrantLayer
	if a.Total != nil || overridden && k.Sums {
		a.Most, a.MostLayer, a.OfAll = a.Total, a.TotalLayer, true
	}
	if !a.Grant.within(a.Total) { // one account has what all have, at most
		a.Grant, a.GrantLayer = lower(a.Grant, a.Total), a.TotalLayer
	}
	if own, is := account[k.Name]; is {
		a.Grant, a.GrantLayer, a.Most, a.MostLayer, a.OfAll = own.Value, LayerOverride, own.Value, LayerOverride, false
	}
	if t.shared(k.Name) {
		a.Total = nil
	}
	return a
}

// In resolves what an account has that states own: nil is not limited.
func (a Allowance) In(own *Quota) (value *Quota, layer string) {
	switch {
	case own == nil && a.Grant == nil:
		return nil, LayerNone
	case own == nil:
		return a.Grant, a.GrantLayer
	case own.within(a.Most):
		return lower(own, a.Most), LayerAccount
	}
	return lower(own, a.Most), a.MostLayer
}

// Over reports whether an account states more than it may.
func (a Allowance) Over(own *Quota) bool { return own != nil && !own.within(a.Most) }

// EffectiveLimit is a limit in force. Value is nil when it is not limited.
type EffectiveLimit struct {
	Name  string
	Value *Quota
	Layer string
}

// Effective says which limits an account has, and what set each.
func (t Terms) Effective(own Limits, organization, account Overrides) []EffectiveLimit {
	var out []EffectiveLimit
	for _, a := range t.Allowances(organization, account) {
		value, layer := a.In(a.Kind.Of(own))
		out = append(out, EffectiveLimit{a.Kind.Name, value, layer})
	}
	return out
}

// Limit returns what the claims of an account say that states own.
func (t Terms) Limit(own Limits, organization, account Overrides) Limits {
	for _, e := range t.Effective(own, organization, account) {
		k, _ := LimitKindOf(e.Name)
		if now := k.Of(own); now == nil && e.Value == nil || now != nil && e.Value != nil && *now == *e.Value {
			continue
		}
		k.Put(&own, e.Value)
	}
	return own
}

// Allocated says how much of each divided total an account takes up. What its
// override takes away stays taken up, so that it can be given back.
func (t Terms) Allocated(own Limits, organization, account Overrides) map[string]int64 {
	out := map[string]int64{}
	for _, a := range t.Allowances(organization, account) {
		if a.Total == nil {
			continue
		}
		n := taken(a, own)
		if _, overridden := account[a.Kind.Name]; overridden {
			n = max(n, taken(t.allowance(a.Kind, organization, nil), own))
		}
		out[a.Kind.Name] = n
	}
	return out
}

// Unbounded is what an account takes up of a divided total that is not limited
// itself: more than there can be.
const Unbounded int64 = limitMax

// taken is one account's part of a divided total. What is not limited takes more
// than there can be.
func taken(a Allowance, own Limits) int64 {
	value, _ := a.In(a.Kind.Of(own))
	if value == nil {
		return Unbounded
	}
	return value.Amount
}

// Count returns how many accounts or users there may be, and what says so.
func (t Terms) Count(name string, organization Overrides) (*int64, string) {
	if o, ok := organization[name]; ok {
		if o.Value == nil {
			return nil, LayerOrganization
		}
		return &o.Value.Amount, LayerOrganization
	}
	n := t.Accounts
	if name == CountUsers {
		n = t.Users
	}
	if n == nil {
		return nil, LayerNone
	}
	return n, LayerPlan
}

// NewOverride completes and checks what an override of a limit says. Counts of
// accounts and users can be overridden for organizations only.
func NewOverride(name string, value *Quota, organization bool) (*Quota, error) {
	if organization && (name == CountAccounts || name == CountUsers) {
		if value != nil && (value.Amount < 0 || value.Amount > limitMax || value.Burst != 0 || value.Policy != "") {
			return nil, badQuota(name, "is an amount from 0 to %d", int64(limitMax))
		}
		return value, nil
	}
	k, ok := LimitKindOf(name)
	if !ok {
		return nil, errs.New(errs.Invalid, "UNKNOWN_QUOTA", "there is no limit %q", name).WithField("name").
			WithNext("use a name that `covey org plan` shows")
	}
	if value == nil {
		return nil, nil //nolint:nilnil // not limited
	}
	q, err := k.check(*value)
	return &q, err
}
