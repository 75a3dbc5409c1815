package config

import (
	"strconv"
	"strings"

	"github.com/coveymq/covey/accounts"
)

// quotas reads a block of our own limits: of an account, or of a user.
func (f *file) quotas(to *accounts.Quotas, users bool) func(node) {
	return func(n node) {
		t := table{}
		for _, kind := range accounts.QuotaKinds() {
			read := func(m node) { f.quota(m, kind.Name, to) }
			if users && !kind.Users {
				read = func(m node) { f.problem(m, "%s is a limit of accounts, not of users", m.key) }
			}
			t.add(read, kind.Name, strings.ReplaceAll(kind.Name, "-", "_"))
		}
		f.block(n, t)
	}
}

// quota reads one limit: a number, "amount/burst/policy", or a block.
func (f *file) quota(n node, name string, to *accounts.Quotas) {
	var q accounts.Quota
	var err error
	before := len(f.problems)
	switch v := n.value.(type) {
	case int64:
		q, err = accounts.ParseQuota(name, strconv.FormatInt(v, 10))
	case string:
		q, err = accounts.ParseQuota(name, strings.ToLower(v))
	case map[string]any:
		var policy string
		kind, _ := accounts.KindOf(name)
		t := table{}
		t.add(integer(&f.reader, &q.Amount, 0, kind.Most), "amount", "rate")
		t.add(integer(&f.reader, &q.Burst, 1, kind.Most), "burst")
		t.add(f.str(&policy), "policy")
		f.block(n, t)
		if len(f.problems) > before {
			return
		}
		q.Policy = accounts.Policy(strings.ToLower(policy))
		q, err = accounts.NewQuota(name, q)
	default:
		f.problem(n, "%s must be a number, \"amount/burst/policy\" or a block, not %s", n.key, kind(v))
		return
	}
	if err != nil {
		f.problem(n, "%v", err)
		return
	}
	if _, twice := (*to)[name]; twice {
		f.problem(n, "the limit %s is stated twice", name)
		return
	}
	if *to == nil {
		*to = make(accounts.Quotas)
	}
	(*to)[name] = q
}
