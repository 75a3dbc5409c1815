package store

import "fmt"

// schemaPlans is the first version of which every organization is on a plan.
const schemaPlans = 7

// granting checks that what organizations say is given out is what their
// accounts have. It sees an organization's accounts before its terms, as their
// keys are in order.
type granting struct {
	of       string // whose accounts these are
	accounts []Account
	without  map[string]bool // organizations without terms so far
}

func (g *granting) organization(org string) {
	if g.without == nil {
		g.without = map[string]bool{}
	}
	g.without[org] = true
}

func (g *granting) account(org string, a Account) {
	if g.of != org {
		g.of, g.accounts = org, nil
	}
	g.accounts = append(g.accounts, Account{Limits: a.Limits, Overrides: a.Overrides})
}

func (g *granting) terms(org string, t OrgTerms) error {
	delete(g.without, org)
	if g.of != org {
		g.of, g.accounts = org, nil
	}
	sums := map[string]int64{}
	for _, a := range g.accounts {
		for name, n := range t.Terms.Allocated(a.Limits, t.Overrides, a.Overrides) {
			sums[name] += n
		}
	}
	for name, n := range sums {
		if t.Allocated[name] != n {
			return fmt.Errorf("accounts have %d %s, and their organization says that %d are given out", n, name, t.Allocated[name])
		}
	}
	return nil
}
