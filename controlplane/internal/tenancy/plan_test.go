package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/lifecycle"
)

// applyIn makes a change of any organization, or of the installation.
func applyIn(w *world, org string, f func(ctx context.Context, tx *store.Tx) error) error {
	c := store.Change{Scope: store.Everything(), Organization: org, Actor: "key_test", Method: "Test"}
	_, _, err := store.Update(context.Background(), w.store, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		return struct{}{}, store.Outcome{}, f(ctx, tx)
	})
	return err
}

// granting is a world whose property is that no organization's accounts have
// more than it was granted.
type granting struct {
	*world
	org   string
	plans []string
	names []string // of accounts that may be there
	did   map[string]int
}

func amount(t *rapid.T, what string) *int64 {
	n := rapid.Int64Range(0, 12).Draw(t, what)
	if n == 12 {
		return nil
	}
	return &n
}

func drawTerms(t *rapid.T) accounts.Terms {
	one := rapid.Int64Range(0, 3).Draw(t, "each")
	terms := accounts.Terms{Account: accounts.Limits{Connections: &one, LeafNodes: amount(t, "leafs")}}
	if total := amount(t, "total"); total != nil {
		sum := *total + one
		terms.Totals.Connections = &sum
	}
	if rapid.IntRange(0, 4).Draw(t, "shared") == 0 && terms.Totals.Connections != nil {
		terms.Shared = []string{"connections"}
	}
	if most := rapid.Int64Range(2, 8).Draw(t, "accounts"); most < 7 {
		terms.Accounts = &most
	}
	return terms
}

func drawOverride(t *rapid.T, account string) tenancy.NewOverride {
	in := tenancy.NewOverride{Account: account, Limit: "connections", Reason: "r", Accept: rapid.Bool().Draw(t, "accept")}
	if n := amount(t, "value"); n != nil {
		in.Value = &accounts.Quota{Amount: *n}
	}
	if account == "" && rapid.IntRange(0, 3).Draw(t, "of accounts") == 0 {
		in.Limit = accounts.CountAccounts
	}
	if rapid.IntRange(0, 2).Draw(t, "ends") == 0 {
		in.Expires = time.Now().Add(2 * time.Second)
	}
	return in
}

// step makes one change, most of which are refused for a good reason.
func (g *granting) step(t *rapid.T) {
	account := rapid.SampledFrom(g.names).Draw(t, "account")
	what := rapid.SampledFrom([]string{"create", "create", "limit", "limit", "limit", "override", "override account", "end override", "end account override", "plan", "update plan", "purge", "sweep"}).Draw(t, "what")
	var err error
	in := func(f func(ctx context.Context, tx *store.Tx) error) { err = applyIn(g.world, g.org, f) }
	switch what {
	case "create":
		limits := accounts.Limits{Connections: amount(t, "connections")}
		in(func(ctx context.Context, tx *store.Tx) error {
			_, err := g.service.CreateAccount(ctx, tx, "M", account, tenancy.AccountFields{Limits: limits})
			return err
		})
	case "limit":
		n := amount(t, "connections")
		in(func(ctx context.Context, tx *store.Tx) error {
			_, err := g.service.UpdateAccount(ctx, tx, "M", account, "", func(f *tenancy.AccountFields) error { f.Limits.Connections = n; return nil })
			return err
		})
	case "override", "override account":
		o := drawOverride(t, map[bool]string{true: account}[what == "override account"])
		in(func(ctx context.Context, tx *store.Tx) error {
			_, _, err := g.service.SetOverride(ctx, tx, "M", o)
			return err
		})
	case "end override", "end account override":
		o := tenancy.NewOverride{Account: map[bool]string{true: account}[what == "end account override"], Limit: "connections", Accept: true}
		in(func(ctx context.Context, tx *store.Tx) error {
			_, err := g.service.RemoveOverride(ctx, tx, "M", o)
			return err
		})
	case "plan":
		plan := rapid.SampledFrom(append(g.plans, store.DefaultPlan)).Draw(t, "plan")
		in(func(ctx context.Context, tx *store.Tx) error {
			_, err := g.service.AssignPlan(ctx, tx, "M", plan, true, false)
			return err
		})
	case "update plan":
		plan, terms := rapid.SampledFrom(g.plans).Draw(t, "plan"), drawTerms(t)
		err = applyIn(g.world, "", func(ctx context.Context, tx *store.Tx) error {
			_, err := g.service.UpdatePlan(ctx, tx, plan, "", func(f *tenancy.PlanFields) error { f.Terms = terms; return nil })
			return err
		})
		err = errors.Join(err, g.service.SpreadPlan(context.Background(), g.store, plan))
	case "purge":
		in(func(ctx context.Context, tx *store.Tx) error {
			a, err := g.service.DeleteAccount(ctx, tx, "M", account, "", time.Hour)
			_ = a
			return err
		})
		if err == nil {
			in(func(ctx context.Context, tx *store.Tx) error {
				_, err := g.service.PurgeAccount(ctx, tx, "M", account, "")
				return err
			})
		}
	case "sweep":
		var due []store.DueOverride
		due, err = g.store.DueOverrides(context.Background(), time.Now())
		for _, d := range due {
			err = errors.Join(err, g.service.EndOverride(context.Background(), g.store, d))
		}
	}
	outcome := " made"
	if err != nil {
		outcome = " refused"
		if code := errs.CodeOf(err); code == errs.Internal || code == errs.Unavailable {
			t.Fatalf("%s: %v", what, err)
		}
	}
	g.did[what+outcome]++
}

// check compares what the organization says that is given out with what its
// accounts have, and with what it was granted.
func (g *granting) check(t *rapid.T) {
	if err := g.service.Spread(context.Background(), g.store, g.org); err != nil {
		t.Fatal(err)
	}
	v, err := g.store.View(store.Everything(), g.org)
	if err != nil {
		t.Fatal(err)
	}
	terms, err := v.Terms(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all, err := v.AllAccounts(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var have, taken int64
	for _, a := range all {
		limits := terms.Terms.Limit(a.Limits, terms.Overrides, a.Overrides)
		taken += terms.Terms.Allocated(a.Limits, terms.Overrides, a.Overrides)["connections"]
		if limits.Connections != nil {
			have += *limits.Connections
		}
		g.checkClaims(t, a, limits)
	}
	for _, l := range terms.Terms.Allowances(terms.Overrides, nil) {
		if l.Kind.Name != "connections" || l.Total == nil {
			continue
		}
		if terms.Allocated["connections"] != taken || taken > l.Total.Amount || have > taken {
			t.Fatalf("%d are given out, %d by the record, accounts have %d, and %d are granted: %+v", taken, terms.Allocated["connections"], have, l.Total.Amount, terms)
		}
		g.did["divided"]++
	}
	if most, _ := terms.Terms.Count(accounts.CountAccounts, terms.Overrides); most != nil && int64(len(all)) > *most {
		t.Fatalf("%d accounts, %d granted", len(all), *most)
	}
}

// checkClaims holds that brokers are told what is in force.
func (g *granting) checkClaims(t *rapid.T, a store.Account, limits accounts.Limits) {
	text, _, err := g.store.Claims(context.Background(), a.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := accounts.ReadAccount(text)
	if err != nil {
		t.Fatal(err)
	}
	got := foreign.Spec.Limits
	if a.Deleted() {
		return
	}
	if !got.Equal(limits) {
		t.Fatalf("account %s: its claims say %s, and %s is in force", a.ID, show(got), show(limits))
	}
}

func show(l accounts.Limits) string {
	if l.Connections == nil {
		return "unlimited"
	}
	return fmt.Sprint(*l.Connections)
}

// TestGivenOutStaysWithinThePlan is invariant 5: whatever is changed in whatever
// order, accounts together have no more than their organization was granted, and
// brokers are told no more.
func TestGivenOutStaysWithinThePlan(t *testing.T) {
	did, w, n := map[string]int{}, newWorld(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		g := &granting{
			world: w, org: fmt.Sprintf("org-%d", n), plans: []string{fmt.Sprintf("a-%d", n), fmt.Sprintf("b-%d", n)},
			names: []string{"default", "aa", "bb", "cc"}, did: did,
		}
		err := applyIn(w, g.org, func(ctx context.Context, tx *store.Tx) error {
			_, err := w.service.SignUp(ctx, tx, "SignUp", tenancy.NewOrganization{ID: g.org})
			return err
		})
		if err != nil {
			rt.Fatal(err)
		}
		for _, plan := range g.plans {
			terms := drawTerms(rt)
			err := applyIn(g.world, "", func(ctx context.Context, tx *store.Tx) error {
				_, err := g.service.CreatePlan(ctx, tx, plan, tenancy.PlanFields{Terms: terms})
				return err
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		for range 15 {
			g.step(rt)
			g.check(rt)
		}
	})
	for _, must := range []string{"create made", "create refused", "limit made", "limit refused", "plan made", "plan refused", "override made", "override refused", "override account made", "divided", "purge made", "update plan made"} {
		if did[must] == 0 && !testing.Short() { // a few histories need not do everything
			t.Errorf("never: %s", must)
		}
	}
	t.Log(did)
}

func limitedPlan(t *testing.T, w *world, connections, each int64) {
	t.Helper()
	err := applyIn(w, "", func(ctx context.Context, tx *store.Tx) error {
		_, err := w.service.CreatePlan(ctx, tx, "small", tenancy.PlanFields{Terms: accounts.Terms{
			Totals: accounts.Limits{Connections: &connections}, Account: accounts.Limits{Connections: &each},
		}})
		return err
	})
	err = errors.Join(err, applyIn(w, "acme", func(ctx context.Context, tx *store.Tx) error {
		_, err := w.service.AssignPlan(ctx, tx, "M", "small", true, false)
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) terms(t *testing.T) store.OrgTerms {
	t.Helper()
	v, err := w.store.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	terms, err := v.Terms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return terms
}

func (w *world) state(connections *int64) error {
	return applyIn(w, "acme", func(ctx context.Context, tx *store.Tx) error {
		_, err := w.service.UpdateAccount(ctx, tx, "M", tenancy.FirstAccount, "", func(f *tenancy.AccountFields) error {
			f.Limits.Connections = connections
			return nil
		})
		return err
	})
}

// sweep ends what is over, once something is.
func (w *world) sweep(t *testing.T, least int) {
	t.Helper()
	backoff := lifecycle.Backoff{Min: 20 * time.Millisecond, Max: 100 * time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		due, err := w.store.DueOverrides(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(due) >= least {
			for _, d := range due {
				if err := w.service.EndOverride(t.Context(), w.store, d); err != nil {
					t.Fatal(err)
				}
			}
			return
		}
		if backoff.Wait(ctx) != nil {
			t.Fatalf("%d overrides are over, want %d", len(due), least)
		}
	}
}

// TestAnOverrideEndsWhenNobodyUsesIt: its end takes nothing from who has it, and
// gives nothing more.
func TestAnOverrideEndsWhenNobodyUsesIt(t *testing.T) {
	w := newWorld(t)
	limitedPlan(t, w, 10, 2)
	over := func(value *accounts.Quota) error {
		return applyIn(w, "acme", func(ctx context.Context, tx *store.Tx) error {
			in := tenancy.NewOverride{Limit: "connections", Value: value, Reason: "fair", Expires: time.Now().Add(2 * time.Second)}
			_, _, err := w.service.SetOverride(ctx, tx, "M", in)
			return err
		})
	}
	if err := over(nil); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("no limit, and an end: %v", err)
	}
	thirty, eleven, ten := int64(30), int64(11), int64(10)
	if err := errors.Join(over(&accounts.Quota{Amount: 50}), w.state(&thirty)); err != nil {
		t.Fatal(err)
	}
	w.sweep(t, 1)
	if _, there := w.terms(t).Overrides["connections"]; !there || w.terms(t).Allocated["connections"] != 30 {
		t.Fatalf("what is used is gone: %+v", w.terms(t))
	}
	thirtyOne := int64(31)
	if err := w.state(&thirtyOne); errs.CodeOf(err) != errs.Exhausted {
		t.Errorf("more of what is over: %v", err)
	}
	if err := w.state(&eleven); errs.CodeOf(err) != errs.Exhausted { // less, and still newly above the plan
		t.Errorf("above the plan: %v", err)
	}
	if err := w.state(&ten); err != nil {
		t.Fatal(err)
	}
	w.sweep(t, 1)
	if o := w.terms(t).Overrides; len(o) != 0 {
		t.Errorf("it is still there: %+v", o)
	}
	if due, err := w.store.DueOverrides(t.Context(), time.Now()); err != nil || len(due) != 0 {
		t.Errorf("due: %v, %v", due, err)
	}
}

// TestAnOverrideOfAnAccountEnds: nobody shares it, so its end is its end.
func TestAnOverrideOfAnAccountEnds(t *testing.T) {
	w := newWorld(t)
	limitedPlan(t, w, 10, 2)
	err := applyIn(w, "acme", func(ctx context.Context, tx *store.Tx) error {
		in := tenancy.NewOverride{Account: tenancy.FirstAccount, Limit: "connections", Value: &accounts.Quota{Amount: 9}, Reason: "fair", Expires: time.Now().Add(2 * time.Second)}
		_, _, err := w.service.SetOverride(ctx, tx, "M", in)
		return err
	})
	if err != nil || w.terms(t).Allocated["connections"] != 9 {
		t.Fatalf("%+v, %v", w.terms(t), err)
	}
	w.sweep(t, 1)
	if got := w.terms(t).Allocated["connections"]; got != 2 {
		t.Errorf("%d are given out", got)
	}
	g := &granting{world: w, org: "acme", did: map[string]int{}}
	rapid.Check(t, func(rt *rapid.T) { g.check(rt) })
}

// TestWhoGaveOutMoreMeanwhileStaysBehind keeps a changed plan from taking away
// what was given out after it was looked at.
func TestWhoGaveOutMoreMeanwhileStaysBehind(t *testing.T) {
	w := newWorld(t)
	limitedPlan(t, w, 10, 2)
	ten, five := int64(10), int64(5)
	if err := w.state(&ten); err != nil {
		t.Fatal(err)
	}
	err := applyIn(w, "", func(ctx context.Context, tx *store.Tx) error {
		_, err := w.service.UpdatePlan(ctx, tx, "small", "", func(f *tenancy.PlanFields) error { f.Terms.Totals.Connections = &five; return nil })
		return err
	})
	if err = errors.Join(err, w.service.SpreadPlan(t.Context(), w.store, "small")); err != nil {
		t.Fatal(err)
	}
	behind := w.terms(t)
	list, _, err := w.store.PlanOrganizations(t.Context(), "small", store.Page{Size: 5})
	if err != nil || behind.Generation != 1 || behind.Behind == "" || len(list) != 1 || list[0].Behind == "" {
		t.Errorf("terms %+v, list %+v, %v", behind, list, err)
	}
	p, err := w.store.Plan(t.Context(), "small")
	if err != nil || p.Spread != 2 {
		t.Errorf("plan %+v, %v", p, err)
	}
	err = errors.Join(w.state(&five), applyIn(w, "acme", func(ctx context.Context, tx *store.Tx) error {
		_, err := w.service.AssignPlan(ctx, tx, "M", "small", false, false)
		return err
	}))
	if now := w.terms(t); err != nil || now.Generation != 2 || now.Behind != "" {
		t.Errorf("terms %+v, %v", now, err)
	}
}
