package tenancy

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// NewOverride is an override that the operator's staff wants.
type NewOverride struct {
	Account string // "" is the whole organization
	Limit   string
	Value   *accounts.Quota // nil: not limited
	Reason  string
	Actor   string
	Expires time.Time // zero: never
	Accept  bool      // that accounts get less than they have
	Dry     bool      // it is not refused for what it would do
}

// OverrideName returns the resource name of an override.
func OverrideName(organization, account, limit string) string {
	name := OrganizationName(organization)
	if account != "" {
		name = AccountName(organization, account)
	}
	return name + "/quotaOverrides/" + limit
}

// SetOverride puts an override in place of a limit of the plan. One that is there
// is replaced.
func (s *Service) SetOverride(ctx context.Context, tx *store.Tx, method string, in NewOverride) (accounts.Override, TermsChange, error) {
	none := accounts.Override{}
	value, err := accounts.NewOverride(in.Limit, in.Value, in.Account == "")
	if err != nil {
		return none, TermsChange{}, err
	}
	if in.Reason == "" {
		return none, TermsChange{}, errs.New(errs.Invalid, "REASON_REQUIRED", "an override takes a reason").WithField("reason").
			WithNext("say why, for who reads the audit log")
	}
	if !in.Expires.IsZero() && !in.Expires.After(tx.Now) {
		return none, TermsChange{}, errs.New(errs.Invalid, "INVALID_FIELD", "expire_time: it is over already").WithField("expire_time")
	}
	if kind, known := accounts.LimitKindOf(in.Limit); value == nil && !in.Expires.IsZero() && in.Account == "" && (kind.Sums || !known) {
		return none, TermsChange{}, errs.New(errs.Invalid, "INVALID_FIELD", "expire_time: what is given without a limit for all accounts together has no end").
			WithField("expire_time").WithNext("give it an amount, which is what may be in use when it ends")
	}
	o := accounts.Override{Value: value, Reason: in.Reason, Actor: in.Actor, CreateTime: tx.Now, ExpireTime: in.Expires.UTC().Truncate(time.Second)}
	if in.Expires.IsZero() {
		o.ExpireTime = time.Time{}
	}
	out, err := s.override(ctx, tx, method, in, &o)
	return o, out, err
}

// RemoveOverride takes an override away; what the plan says is in force again.
func (s *Service) RemoveOverride(ctx context.Context, tx *store.Tx, method string, in NewOverride) (TermsChange, error) {
	return s.override(ctx, tx, method, in, nil)
}

func (s *Service) override(ctx context.Context, tx *store.Tx, method string, in NewOverride, o *accounts.Override) (TermsChange, error) {
	if in.Account != "" {
		return s.overrideAccount(ctx, tx, method, in, o)
	}
	before, err := tx.Terms(ctx)
	if err != nil {
		return TermsChange{}, err
	}
	next := before
	if next.Overrides, err = replaceOverride(tx, before.Overrides, in, o); err != nil {
		return TermsChange{}, err
	}
	return s.changeTerms(ctx, tx, method, OverrideName(tx.Organization(), "", in.Limit), before, next, in.Accept, in.Dry)
}

// replaceOverride returns overrides with another one, or without one.
func replaceOverride(tx *store.Tx, all accounts.Overrides, in NewOverride, o *accounts.Override) (accounts.Overrides, error) {
	was, there := all[in.Limit]
	if o == nil && !there {
		return nil, store.ErrNotFound
	}
	next := maps.Clone(all)
	if next == nil {
		next = accounts.Overrides{}
	}
	if there && (o == nil || !was.ExpireTime.Equal(o.ExpireTime)) {
		tx.DropExpiry(in.Account, in.Limit, was)
	}
	if o == nil {
		delete(next, in.Limit)
		return next, nil
	}
	next[in.Limit] = *o
	if there && was.ExpireTime.Equal(o.ExpireTime) {
		return next, nil
	}
	return next, tx.NoteExpiry(in.Account, in.Limit, *o)
}

func (s *Service) overrideAccount(ctx context.Context, tx *store.Tx, method string, in NewOverride, o *accounts.Override) (TermsChange, error) {
	standing, err := StandingOf(ctx, tx)
	if err != nil {
		return TermsChange{}, err
	}
	a, err := tx.Account(ctx, in.Account)
	if err != nil {
		return TermsChange{}, err
	}
	before := a
	if a.Overrides, err = replaceOverride(tx, a.Overrides, in, o); err != nil {
		return TermsChange{}, err
	}
	a.UpdateTime = tx.Now
	out := TermsChange{Terms: standing.Terms, Impacts: lowered(standing.Terms, tx.Organization(), before, a)}
	if err := allot(ctx, tx, &before, &a); err != nil {
		return out, err
	}
	if err := out.Impacts.Refusal(in.Accept); err != nil && !in.Dry {
		return out, err
	}
	if err := tx.PutAccount(a); err != nil {
		return out, err
	}
	operation, err := s.republish(ctx, tx, method, AccountName(tx.Organization(), a.ID), a)
	out.Operation = &operation
	return out, err
}

// lowered lists the limits of an account that are lower after than before.
func lowered(t store.OrgTerms, organization string, before, after store.Account) Impacts {
	var out Impacts
	was := t.Terms.Effective(before.Limits, t.Overrides, before.Overrides)
	for i, l := range t.Terms.Effective(after.Limits, t.Overrides, after.Overrides) {
		if below(l.Value, was[i].Value) {
			out.add(Impact{Organization: organization, Account: after.ID, PublicKey: after.PublicKey, Limit: l.Name, Before: was[i].Value, After: l.Value})
		}
	}
	return out
}

// EndOverride takes an override away whose time is over. When what was given by
// it is still in use, it stays for that and for nothing more, and is tried again.
func (s *Service) EndOverride(ctx context.Context, st *store.Store, due store.DueOverride) error {
	c := store.Change{
		Scope: store.Everything(), Organization: due.Organization, Actor: "system", Method: "EndQuotaOverride",
		Target: OverrideName(due.Organization, due.Account, due.Limit), Reason: "its time is over",
	}
	_, _, err := store.Update(ctx, st, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		return struct{}{}, store.Outcome{}, s.endOverride(ctx, tx, c.Method, due)
	})
	if err == nil {
		err = s.Spread(ctx, st, due.Organization)
	}
	if errors.Is(err, errStillUsed) {
		return nil
	}
	return ignoreGone(err)
}

// errStillUsed keeps a change from being made that would change nothing.
var errStillUsed = errors.New("still used")

func (s *Service) endOverride(ctx context.Context, tx *store.Tx, method string, due store.DueOverride) error {
	in := NewOverride{Account: due.Account, Limit: due.Limit, Accept: true}
	o, err := overrideOf(ctx, tx, due)
	if err != nil {
		return err
	}
	if !o.Overdue(tx.Now) {
		return store.ErrNotFound // it was renewed meanwhile
	}
	if due.Account != "" {
		_, err := s.overrideAccount(ctx, tx, method, in, nil)
		return err
	}
	before, err := tx.Terms(ctx)
	if err != nil {
		return err
	}
	next := before
	next.Overrides = maps.Clone(before.Overrides)
	delete(next.Overrides, due.Limit)
	impacts, _, err := weigh(ctx, tx, before, &next)
	if err != nil {
		return err
	}
	if impacts.Refused > 0 {
		return errStillUsed
	}
	_, err = s.override(ctx, tx, method, in, nil)
	return err
}

func overrideOf(ctx context.Context, tx *store.Tx, due store.DueOverride) (accounts.Override, error) {
	var all accounts.Overrides
	if due.Account != "" {
		a, err := tx.Account(ctx, due.Account)
		if err != nil {
			return accounts.Override{}, err
		}
		all = a.Overrides
	} else {
		t, err := tx.Terms(ctx)
		if err != nil {
			return accounts.Override{}, err
		}
		all = t.Overrides
	}
	o, ok := all[due.Limit]
	if !ok {
		return o, store.ErrNotFound
	}
	return o, nil
}
