package tenancy

import (
	"context"
	"errors"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// PlanName returns the resource name of a plan.
func PlanName(id string) string { return "plans/" + id }

// PlanFields are the writable fields of a plan.
type PlanFields struct {
	DisplayName string
	Description string
	Terms       accounts.Terms
	Unlisted    bool
}

func (f PlanFields) validate() error {
	if err := accounts.ValidateDisplayName("plan.display_name", f.DisplayName); err != nil {
		return err
	}
	return f.Terms.Validate()
}

func (f PlanFields) apply(p *store.Plan) {
	p.DisplayName, p.Description, p.Terms, p.Unlisted = f.DisplayName, f.Description, f.Terms, f.Unlisted
}

// PlanFieldsOf returns the writable fields of a plan.
func PlanFieldsOf(p store.Plan) PlanFields {
	return PlanFields{DisplayName: p.DisplayName, Description: p.Description, Terms: p.Terms, Unlisted: p.Unlisted}
}

// CreatePlan makes a plan that no organization is on.
func (s *Service) CreatePlan(ctx context.Context, tx *store.Tx, id string, f PlanFields) (store.Plan, error) {
	if err := errors.Join(accounts.ValidatePlanID(id), f.validate()); err != nil {
		return store.Plan{}, err
	}
	p := store.Plan{ID: id, Generation: 1, Spread: 1, CreateTime: tx.Now, UpdateTime: tx.Now}
	f.apply(&p)
	err := tx.CreatePlan(ctx, p)
	if errors.Is(err, store.ErrExists) {
		err = taken("PLAN_EXISTS", "plan_id", PlanName(id))
	}
	return p, err
}

// UpdatePlan changes a plan. Its organizations get the new terms one by one
// afterwards: SpreadPlan.
func (s *Service) UpdatePlan(ctx context.Context, tx *store.Tx, id, etag string, change func(*PlanFields) error) (store.Plan, error) {
	p, err := tx.Plan(ctx, id)
	if err != nil {
		return p, err
	}
	if err := checkEtag(etag, p.Revision); err != nil {
		return p, err
	}
	f := PlanFieldsOf(p)
	if err := change(&f); err != nil {
		return p, err
	}
	if err := f.validate(); err != nil {
		return p, err
	}
	if !f.Terms.Equal(p.Terms) {
		p.Generation++
	}
	f.apply(&p)
	p.UpdateTime = tx.Now
	return p, tx.PutPlan(p)
}

// DeletePlan ends a plan that no organization is on.
func (s *Service) DeletePlan(ctx context.Context, tx *store.Tx, id, etag string) error {
	p, err := tx.Plan(ctx, id)
	if err != nil {
		return err
	}
	if err := checkEtag(etag, p.Revision); err != nil {
		return err
	}
	if id == store.DefaultPlan {
		return errs.New(errs.Precondition, "PLAN_NEEDED", "new organizations begin on the plan %q", id).WithNext("change it instead")
	}
	used, err := tx.PlanUsed(ctx, id)
	if err != nil {
		return err
	}
	if used {
		return errs.New(errs.Precondition, "PLAN_USED", "organizations are on the plan %q", id).
			WithNext("`covey admin plan organizations %s` lists them; put them on another one first", id)
	}
	tx.DeletePlan(id)
	return nil
}

// WeighPlan says what it does to all organizations of a plan when its terms
// become others. Nothing is changed.
func (s *Service) WeighPlan(ctx context.Context, st *store.Store, id string, terms accounts.Terms) (Impacts, error) {
	var out Impacts
	p := store.Page{Size: planPage}
	for {
		list, next, err := st.PlanOrganizations(ctx, id, p)
		if err != nil {
			return out, err
		}
		for _, o := range list {
			one, err := weighOne(ctx, st, o.Organization, terms)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return out, err
			}
			out.Add(one)
		}
		if next == "" {
			return out, nil
		}
		p.After = next
	}
}

const planPage = 200 // organizations that are read in one go

func weighOne(ctx context.Context, st *store.Store, organization string, terms accounts.Terms) (Impacts, error) {
	v, err := st.View(store.Everything(), organization)
	if err != nil {
		return Impacts{}, err
	}
	before, err := v.Terms(ctx)
	if err != nil {
		return Impacts{}, err
	}
	after := before
	after.Terms = terms
	out, _, err := weigh(ctx, v, before, &after)
	return out, err
}

// TermsChange is what became, or would become, of an organization's terms.
// Operation is nil when no claims change.
type TermsChange struct {
	Terms     store.OrgTerms
	Impacts   Impacts
	Operation *store.Operation
}

// AssignPlan puts an organization on a plan. A dry run is not refused for what
// the change would do: that is in its answer.
func (s *Service) AssignPlan(ctx context.Context, tx *store.Tx, method, plan string, accept, dry bool) (TermsChange, error) {
	if _, err := tx.Org(ctx); err != nil {
		return TermsChange{}, err
	}
	p, err := tx.Plan(ctx, plan)
	if errors.Is(err, store.ErrNotFound) {
		err = errs.New(errs.Precondition, "PLAN_NOT_FOUND", "there is no plan %q", plan).WithField("plan").WithNext("`covey admin plan list` shows all")
	}
	if err != nil {
		return TermsChange{}, err
	}
	before, err := tx.Terms(ctx)
	if err != nil {
		return TermsChange{}, err
	}
	next := before
	next.Terms, next.Plan, next.Generation, next.Behind = p.Terms, p.ID, p.Generation, ""
	if before.Plan != next.Plan {
		next.AssignTime = tx.Now
	}
	return s.changeTerms(ctx, tx, method, OrganizationName(tx.Organization()), before, next, accept, dry)
}

// changeTerms grants an organization something else.
func (s *Service) changeTerms(ctx context.Context, tx *store.Tx, method, target string, before, next store.OrgTerms, accept, dry bool) (TermsChange, error) {
	impacts, changed, err := weigh(ctx, tx, before, &next)
	if err != nil {
		return TermsChange{}, err
	}
	out := TermsChange{Terms: next, Impacts: impacts}
	if err := impacts.Refusal(accept); err != nil && !dry {
		return out, err
	}
	if err := tx.PutTerms(ctx, next); err != nil || !changed {
		return out, err
	}
	operation, err := s.spread(ctx, tx, method, target)
	out.Operation = &operation
	return out, err
}

// SpreadPlan brings the newest terms of a plan to its organizations. One that
// cannot be held within them keeps those it has, and says why. accept is what the
// staff said when it changed the plan, and was checked then.
func (s *Service) SpreadPlan(ctx context.Context, st *store.Store, id string) error {
	p, err := st.Plan(ctx, id)
	if err != nil || p.Spread == p.Generation {
		return ignoreGone(err)
	}
	page := store.Page{Size: planPage}
	for {
		list, next, err := st.PlanOrganizations(ctx, id, page)
		if err != nil {
			return err
		}
		for _, o := range list {
			if o.Generation == p.Generation {
				continue
			}
			if err := s.follow(ctx, st, o.Organization, id); err != nil {
				return err
			}
		}
		if next == "" {
			break
		}
		page.After = next
	}
	c := store.Change{Scope: store.Everything(), Actor: "system", Method: "SpreadPlan", Target: PlanName(id), Reason: "all its organizations were brought to its terms"}
	_, _, err = store.Update(ctx, st, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		now, err := tx.Plan(ctx, id)
		if err != nil {
			return struct{}{}, store.Outcome{}, err
		}
		now.Spread = max(now.Spread, p.Generation)
		return struct{}{}, store.Outcome{}, tx.PutPlan(now)
	})
	return ignoreGone(err)
}

// follow brings the newest terms of its plan to one organization.
func (s *Service) follow(ctx context.Context, st *store.Store, organization, plan string) error {
	c := store.Change{
		Scope: store.Everything(), Organization: organization, Actor: "system", Method: "FollowPlan",
		Target: OrganizationName(organization), Reason: "its plan has changed",
	}
	_, _, err := store.Update(ctx, st, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		return struct{}{}, store.Outcome{}, s.followIn(ctx, tx, plan)
	})
	if err == nil {
		err = s.Spread(ctx, st, organization)
	}
	return ignoreGone(err)
}

func (s *Service) followIn(ctx context.Context, tx *store.Tx, plan string) error {
	before, err := tx.Terms(ctx)
	if err != nil || before.Plan != plan {
		return err // it was put on another one meanwhile
	}
	_, err = s.AssignPlan(ctx, tx, "FollowPlan", plan, true, false)
	if errs.CodeOf(err) != errs.Precondition {
		return err
	}
	before.Behind = err.Error()
	return tx.PutTerms(ctx, before)
}
