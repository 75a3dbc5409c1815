package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// limitField is one field of Limits by the name that the API has for it. One of
// the two is nil.
type limitField struct {
	name   string
	amount **int64
	quota  **apiv1.Quota
}

func everyLimit(l *apiv1.Limits) []limitField {
	out := []limitField{
		{name: "connections", amount: &l.Connections},
		{name: "subscriptions", amount: &l.Subscriptions},
		{name: "payload_bytes", amount: &l.PayloadBytes},
		{name: "leaf_nodes", amount: &l.LeafNodes},
		{name: "data_bytes", amount: &l.DataBytes},
	}
	for _, f := range quotaFields(l) {
		out = append(out, limitField{name: strings.TrimPrefix(f.path, "limits."), quota: f.value})
	}
	return out
}

func limitFieldNames() string {
	var names []string
	for _, f := range everyLimit(&apiv1.Limits{}) {
		names = append(names, strings.ReplaceAll(f.name, "_", "-"))
	}
	return strings.Join(names, ", ")
}

// apiLimit is the API's name of a limit that people may write with hyphens.
func apiLimit(name string) string { return strings.ReplaceAll(name, "-", "_") }

// planFields is the flags for what the staff may write of a plan.
type planFields struct {
	displayName, description string
	totals, each, shared     []string
	accounts, users          string
	unlisted                 bool
}

func (f *planFields) flags(set *pflag.FlagSet) {
	const form = "name=amount[/burst[/policy]] or name=" + unlimited + ", again for each of "
	set.StringVar(&f.displayName, "display-name", "", "name for people")
	set.StringVar(&f.description, "description", "", "what it is for")
	set.StringArrayVar(&f.totals, "total", nil, "for all accounts of an organization together: "+form+limitFieldNames())
	set.StringSliceVar(&f.shared, "shared", nil, "totals that are not divided: each account may have up to all of it; all of them, or '' for none")
	set.StringArrayVar(&f.each, "account-limit", nil, "what an account has that states nothing: "+form+limitFieldNames())
	set.StringVar(&f.accounts, "max-accounts", "", "accounts of an organization: a number, or "+unlimited)
	set.StringVar(&f.users, "max-users", "", "users of all accounts together: a number, or "+unlimited)
	set.BoolVar(&f.unlisted, "unlisted", false, "show it only to organizations that are on it")
}

// message returns the fields whose flags were given, and their mask.
func (f *planFields) message(set *pflag.FlagSet) (*apiv1.Plan, *fieldmaskpb.FieldMask, error) {
	p, mask := &apiv1.Plan{}, &fieldmaskpb.FieldMask{}
	for flag, put := range map[string]func(){
		"display_name": func() { p.DisplayName = f.displayName }, "description": func() { p.Description = f.description },
		"unlisted": func() { p.Unlisted = f.unlisted },
	} {
		if set.Changed(strings.ReplaceAll(flag, "_", "-")) {
			put()
			mask.Paths = append(mask.Paths, flag)
		}
	}
	if set.Changed("shared") {
		for _, name := range f.shared {
			if name != "" {
				p.Shared = append(p.Shared, apiLimit(name))
			}
		}
		mask.Paths = append(mask.Paths, "shared")
	}
	for _, c := range []struct {
		flag, path, text string
		to               **int64
	}{{"max-accounts", "max_accounts", f.accounts, &p.MaxAccounts}, {"max-users", "max_users", f.users, &p.MaxUsers}} {
		if !set.Changed(c.flag) {
			continue
		}
		n, err := parseLimit(c.flag, c.text)
		if err != nil {
			return nil, nil, err
		}
		*c.to = n
		mask.Paths = append(mask.Paths, c.path)
	}
	p.Totals, p.AccountLimits = &apiv1.Limits{}, &apiv1.Limits{}
	if err := readLimits("--total", f.totals, p.GetTotals(), "totals.", mask); err != nil {
		return nil, nil, err
	}
	return p, mask, readLimits("--account-limit", f.each, p.GetAccountLimits(), "account_limits.", mask)
}

// readLimits puts what a flag says into limits and the mask.
func readLimits(flag string, texts []string, limits *apiv1.Limits, path string, mask *fieldmaskpb.FieldMask) error {
	seen := map[string]bool{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return term.Usagef("for example "+flag+" connections=100", "%s %q names no amount", flag, text)
		}
		name = apiLimit(name)
		if seen[name] {
			return term.Usagef("give each limit once", "%s %s is given twice", flag, name)
		}
		seen[name] = true
		q, err := parseLimitValue(flag, name, value)
		if err != nil {
			return err
		}
		for _, f := range everyLimit(limits) {
			switch {
			case f.name != name || q == nil:
			case f.quota != nil:
				*f.quota = q
			default:
				*f.amount = &q.Amount
			}
		}
		mask.Paths = append(mask.Paths, path+name)
	}
	return nil
}

// parseLimitValue reads the value of one limit; nil is for no limit.
func parseLimitValue(flag, name, value string) (*apiv1.Quota, error) {
	for _, f := range everyLimit(&apiv1.Limits{}) {
		if f.name != name {
			continue
		}
		switch {
		case value == unlimited:
			return nil, nil //nolint:nilnil // no limit is an answer
		case f.quota != nil:
			return parseQuota(name+"="+value, value)
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return nil, term.Usagef("give a number from 0 on, or "+unlimited, "%s %s=%q is not a limit", flag, name, value)
		}
		return &apiv1.Quota{Amount: n}, nil
	}
	return nil, term.Usagef("there are "+limitFieldNames(), "%s %s: there is no such limit", flag, name)
}

// limitsWord shows all limits that are set in one line.
func limitsWord(l *apiv1.Limits) string {
	var words []string
	for _, f := range everyLimit(l) {
		switch {
		case f.amount != nil && *f.amount != nil:
			words = append(words, f.name+"="+strconv.FormatInt(**f.amount, 10))
		case f.quota != nil && *f.quota != nil:
			words = append(words, f.name+"="+quotaWord(*f.quota))
		}
	}
	return orElse(strings.Join(words, " "), "-")
}

// quotaWord is what parseQuota reads; nil is not limited.
func quotaWord(q *apiv1.Quota) string {
	if q == nil {
		return unlimited
	}
	text := strconv.FormatInt(q.GetAmount(), 10)
	policy := strings.ToLower(strings.TrimPrefix(q.GetPolicy().String(), "POLICY_"))
	if q.GetPolicy() == apiv1.Quota_POLICY_UNSPECIFIED {
		policy = ""
	}
	switch {
	case q.GetBurst() > 0 && policy != "":
		return text + "/" + strconv.FormatInt(q.GetBurst(), 10) + "/" + policy
	case q.GetBurst() > 0:
		return text + "/" + strconv.FormatInt(q.GetBurst(), 10)
	case policy != "":
		return text + "//" + policy
	}
	return text
}

// countWord is a count of what there may be.
func countWord(n *int64) string {
	if n == nil {
		return unlimited
	}
	return strconv.FormatInt(*n, 10)
}
