package accounts_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/accounts"
)

// quotas draws a value of a limit, nil more often than not.
func drawValue(t *rapid.T, k accounts.LimitKind, label string) *accounts.Quota {
	if rapid.IntRange(0, 2).Draw(t, label+" "+k.Name) > 0 {
		return nil
	}
	q, err := accounts.NewOverride(k.Name, &accounts.Quota{Amount: rapid.Int64Range(1, 40).Draw(t, label+" amount")}, false)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func drawLimits(t *rapid.T, label string, of func(accounts.LimitKind) bool) accounts.Limits {
	var l accounts.Limits
	for _, k := range accounts.LimitKinds() {
		if of(k) {
			k.Put(&l, drawValue(t, k, label))
		}
	}
	return l
}

func anyLimit(accounts.LimitKind) bool { return true }

func drawTerms(t *rapid.T, label string) accounts.Terms {
	terms := accounts.Terms{
		Totals:  drawLimits(t, label+" total", func(k accounts.LimitKind) bool { return k.Sums }),
		Account: drawLimits(t, label+" account", anyLimit),
	}
	for _, k := range accounts.LimitKinds() {
		total, each := k.Of(terms.Totals), k.Of(terms.Account)
		if total != nil && (each == nil || rapid.Bool().Draw(t, "shared")) {
			terms.Shared = append(terms.Shared, k.Name)
		}
		if total != nil && each != nil && total.Amount < each.Amount {
			k.Put(&terms.Totals, each)
		}
	}
	if err := terms.Validate(); err != nil {
		t.Fatalf("terms %+v: %v", terms, err)
	}
	return terms
}

func drawOverrides(t *rapid.T, label string) accounts.Overrides {
	out := accounts.Overrides{}
	for _, k := range accounts.LimitKinds() {
		if rapid.IntRange(0, 4).Draw(t, label) == 0 {
			out[k.Name] = accounts.Override{Value: drawValue(t, k, label)}
		}
	}
	return out
}

func value(q *accounts.Quota) int64 {
	if q == nil {
		return accounts.Unbounded
	}
	return q.Amount
}

func TestNobodyHasMoreThanTheOuterLayersGive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms, own := drawTerms(t, "terms"), drawLimits(t, "own", anyLimit)
		org, account := drawOverrides(t, "organization"), drawOverrides(t, "account")
		limits := terms.Limit(own, org, account)
		for i, a := range terms.Allowances(org, account) {
			got := a.Kind.Of(limits)
			most := min(value(a.Most), value(a.Kind.Of(own)))
			if a.Kind.Of(own) == nil {
				most = value(a.Grant)
			}
			if value(got) != most {
				t.Fatalf("%s is %v, want %d: %+v, own %v", a.Kind.Name, got, most, a, a.Kind.Of(own))
			}
			e := terms.Effective(own, org, account)[i]
			if value(e.Value) != most || (e.Layer == accounts.LayerNone) != (e.Value == nil) {
				t.Fatalf("%+v, want %d", e, most)
			}
			if _, is := account[a.Kind.Name]; is && e.Layer != accounts.LayerAccount && e.Layer != accounts.LayerOverride && e.Value != nil {
				t.Fatalf("%s was overridden for the account, and is set by %s", a.Kind.Name, e.Layer)
			}
			if o, is := org[a.Kind.Name]; is && a.Kind.Sums && account[a.Kind.Name].Value == nil && value(got) > value(o.Value) {
				if _, overridden := account[a.Kind.Name]; !overridden {
					t.Fatalf("%s is %d, more than the organization's %d", a.Kind.Name, value(got), value(o.Value))
				}
			}
		}
		if again := terms.Limit(limits, org, account); !again.Equal(limits) {
			t.Fatalf("twice is another thing: %+v, %+v", again, limits)
		}
	})
}

func TestNoTermsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own := drawLimits(t, "own", anyLimit)
		if got := (accounts.Terms{}).Limit(own, nil, nil); !got.Equal(own) {
			t.Fatalf("%+v became %+v", own, got)
		}
	})
}

// What is said to lower nothing is not looked at further: it has to be true.
func TestTermsThatLowerNothingTakeNothingAway(t *testing.T) {
	checked := 0
	rapid.Check(t, func(t *rapid.T) {
		before, own := drawTerms(t, "before"), drawLimits(t, "own", anyLimit)
		after := before
		for _, k := range accounts.LimitKinds() {
			switch rapid.IntRange(0, 15).Draw(t, "change") { // few of them change: most changes lower something
			case 0:
				k.Put(&after.Account, drawValue(t, k, "account"))
			case 1:
				if k.Sums {
					k.Put(&after.Totals, drawValue(t, k, "total"))
				}
			}
		}
		if after.Validate() != nil || after.Lowers(before) {
			return
		}
		checked++
		was, is := before.Effective(own, nil, nil), after.Effective(own, nil, nil)
		for i := range is {
			if value(is[i].Value) < value(was[i].Value) {
				t.Fatalf("%+v became %+v", was[i], is[i])
			}
		}
		for name, n := range after.Allocated(own, nil, nil) {
			if _, divided := before.Allocated(own, nil, nil)[name]; !divided {
				t.Fatalf("%s is divided now, %d of it taken", name, n)
			}
		}
	})
	t.Logf("%d changes lowered nothing", checked)
	if checked == 0 && !testing.Short() {
		t.Error("no change lowered nothing")
	}
}

func TestPlansThatCannotBeKept(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	for name, terms := range map[string]accounts.Terms{
		"a total of what does not add up":       {Totals: accounts.Limits{PayloadBytes: n(5)}},
		"divided, and nothing for an account":   {Totals: accounts.Limits{Connections: n(5)}},
		"one has more than all":                 {Totals: accounts.Limits{Connections: n(5)}, Account: accounts.Limits{Connections: n(6)}},
		"shared, and no total":                  {Shared: []string{"connections"}},
		"shared is no limit":                    {Totals: accounts.Limits{Connections: n(5)}, Shared: []string{"connection"}},
		"fewer than no accounts":                {Accounts: n(-1)},
		"a limit that no account could have":    {Account: accounts.Limits{Connections: n(-1)}},
		"a quota that no account could have":    {Account: accounts.Limits{Quotas: accounts.Quotas{"msgs-in": {Amount: 0}}}},
		"a quota with a policy that it has not": {Account: accounts.Limits{Quotas: accounts.Quotas{"msgs-in": {Amount: 1, Burst: 1, Policy: "drop"}}}},
	} {
		if terms.Validate() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := (accounts.Terms{Totals: accounts.Limits{Connections: n(5)}, Shared: []string{"connections"}}).Validate(); err != nil {
		t.Errorf("shared: %v", err)
	}
}

func TestOverridesHaveAnEnd(t *testing.T) {
	now := time.Unix(1000, 0)
	all := accounts.Overrides{"connections": {ExpireTime: now}, "leaf_nodes": {ExpireTime: now.Add(time.Second)}, "data_bytes": {}}
	current := all.Current(now)
	if len(current) != 2 || !all["connections"].Overdue(now) {
		t.Errorf("current at its end: %v", current)
	}
}
