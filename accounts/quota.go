package accounts

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/coveymq/covey/internal/errs"
)

// Policy is what becomes of what is over a quota.
type Policy string

// The policies. Which of them a quota may have is in its kind.
const (
	// Slow stops reading from the client until there is room again: it is slowed
	// by TCP and loses nothing.
	Slow Policy = "slow"
	// Refuse does not do it, and says so.
	Refuse Policy = "refuse"
	// Drop leaves deliveries out.
	Drop Policy = "drop"
	// Close ends the connection.
	Close Policy = "close"
)

// Names of the quotas.
const (
	MessagesIn      = "msgs-in"          // messages that clients publish, a second
	BytesIn         = "bytes-in"         // their bytes, headers included
	MessagesOut     = "msgs-out"         // messages that clients get, a second
	BytesOut        = "bytes-out"        // their bytes
	Connects        = "connects"         // connections made, a second
	Subscribes      = "subscribes"       // subscriptions made, a second
	Subscriptions   = "subscriptions"    // subscriptions of all connections together
	PendingBytes    = "pending"          // bytes that wait for all connections together
	MonthlyBytes    = "data"             // bytes published and delivered in a calendar month, UTC
	UserConnections = "user-connections" // connections of each user
	Weight          = "weight"           // share of the processor when it is short
)

// Quota is one limit that nats-server does not know: an amount a second with a
// burst, or an amount in all.
type Quota struct {
	Amount int64  `json:"amount"`
	Burst  int64  `json:"burst,omitempty"`  // of a rate; how much may come at once after a quiet time
	Policy Policy `json:"policy,omitempty"` // empty for a weight
}

// Quotas are quotas by their names. A name that is missing is not limited.
type Quotas map[string]Quota

// QuotaKind says what a quota of some name may be.
type QuotaKind struct {
	Name     string
	Rate     bool     // an amount a second
	Users    bool     // it may be given to a role or a user
	Policies []Policy // the first is the default
	Most     int64
}

const (
	rateMax   = 20_000_000_000 // a second; what a bucket can count for ten years
	weightMax = 1000
)

// QuotaKinds returns all kinds in the order in which they are shown.
func QuotaKinds() []QuotaKind {
	rate := func(name string, policies ...Policy) QuotaKind {
		return QuotaKind{Name: name, Rate: true, Users: true, Policies: policies, Most: rateMax}
	}
	return []QuotaKind{
		rate(MessagesIn, Slow, Refuse, Close),
		rate(BytesIn, Slow, Refuse, Close),
		rate(MessagesOut, Slow, Refuse, Close),
		rate(BytesOut, Slow, Refuse, Close),
		rate(Connects, Refuse, Slow),
		rate(Subscribes, Slow, Refuse, Close),
		{Name: Subscriptions, Policies: []Policy{Refuse, Close}, Most: limitMax},
		{Name: PendingBytes, Policies: []Policy{Close, Drop}, Most: limitMax},
		{Name: MonthlyBytes, Policies: []Policy{Refuse, Close}, Most: limitMax},
		{Name: UserConnections, Users: true, Policies: []Policy{Refuse}, Most: limitMax},
		{Name: Weight, Most: weightMax},
	}
}

// KindOf returns the kind of a name.
func KindOf(name string) (QuotaKind, bool) {
	kinds := QuotaKinds()
	i := slices.IndexFunc(kinds, func(k QuotaKind) bool { return k.Name == name })
	if i < 0 {
		return QuotaKind{}, false
	}
	return kinds[i], true
}

func badQuota(name, format string, args ...any) error {
	return errs.New(errs.Invalid, "INVALID_QUOTA", "the limit %s %s", name, fmt.Sprintf(format, args...)).WithField("limits")
}

func illegible(name, text string) error {
	return errs.New(errs.Invalid, "INVALID_QUOTA", "the limit %s is %q", name, text).WithField("limits").
		WithNext("write it as amount, amount/burst or amount/burst/policy, for example 1000/2000/slow")
}

// NewQuota completes and checks a quota: without a burst it gets one second's
// worth, without a policy the default of its kind.
func NewQuota(name string, q Quota) (Quota, error) {
	kind, ok := KindOf(name)
	switch {
	case !ok:
		return Quota{}, errs.New(errs.Invalid, "UNKNOWN_QUOTA", "there is no limit %q", name).
			WithField("limits").WithNext("use one of %s", strings.Join(quotaNames(), ", "))
	case q.Amount < 0 || q.Amount > kind.Most || q.Amount == 0 && !kind.zero():
		return Quota{}, badQuota(name, "is %d, it must be from %d to %d", q.Amount, kind.least(), kind.Most)
	case q.Burst < 0 || q.Burst > kind.burstMax():
		return Quota{}, badQuota(name, "cannot have a burst of %d, at most %d", q.Burst, kind.burstMax())
	case q.Policy == "" && len(kind.Policies) > 0:
		q.Policy = kind.Policies[0]
	case q.Policy != "" && !slices.Contains(kind.Policies, q.Policy):
		return Quota{}, badQuota(name, "cannot have the policy %q, only one of %v", q.Policy, kind.Policies)
	}
	if kind.Rate && q.Burst == 0 {
		q.Burst = q.Amount
	}
	return q, nil
}

// zero reports whether none at all is an amount.
func (k QuotaKind) zero() bool { return !k.Rate && k.Name != Weight && k.Name != PendingBytes }

// burstMax is 0 for what is no rate.
func (k QuotaKind) burstMax() int64 {
	if k.Rate {
		return rateMax
	}
	return 0
}

func (k QuotaKind) least() int64 {
	if k.zero() {
		return 0
	}
	return 1
}

func quotaNames() []string {
	var names []string
	for _, k := range QuotaKinds() {
		names = append(names, k.Name)
	}
	return names
}

// ParseQuota reads amount[/burst[/policy]]. Either of the latter may be empty.
func ParseQuota(name, text string) (Quota, error) {
	var q Quota
	parts := strings.Split(text, "/")
	if len(parts) > 3 {
		return q, illegible(name, text)
	}
	for i, to := range []*int64{&q.Amount, &q.Burst} {
		if i >= len(parts) || i > 0 && parts[i] == "" {
			continue
		}
		n, err := strconv.ParseInt(parts[i], 10, 64)
		if err != nil || i > 0 && n == 0 {
			return q, illegible(name, text)
		}
		*to = n
	}
	if len(parts) == 3 {
		q.Policy = Policy(parts[2])
	}
	return NewQuota(name, q)
}

// String returns what ParseQuota reads.
func (q Quota) String() string {
	text := strconv.FormatInt(q.Amount, 10)
	switch {
	case q.Burst != 0:
		text += "/" + strconv.FormatInt(q.Burst, 10)
	case q.Policy != "":
		text += "/"
	}
	if q.Policy != "" {
		text += "/" + string(q.Policy)
	}
	return text
}

// Equal reports whether both limit the same.
func (q Quotas) Equal(o Quotas) bool {
	if len(q) != len(o) {
		return false
	}
	for name, a := range q {
		if b, ok := o[name]; !ok || a != b {
			return false
		}
	}
	return true
}

// Lower returns q with what o lowers and adds. Where both say something, q's
// policy stays, so that who may only lower cannot soften it.
func (q Quotas) Lower(o Quotas) Quotas {
	if len(o) == 0 {
		return q
	}
	all := make(Quotas, len(q)+len(o))
	for name, a := range q {
		all[name] = a
	}
	for name, b := range o {
		if a, ok := all[name]; ok {
			b = Quota{Amount: min(a.Amount, b.Amount), Burst: min(a.Burst, b.Burst), Policy: a.Policy}
		}
		all[name] = b
	}
	return all
}

// Or returns q with what it does not state from defaults.
func (q Quotas) Or(defaults Quotas) Quotas {
	if len(q) == 0 {
		return defaults
	}
	if len(defaults) == 0 {
		return q
	}
	all := maps.Clone(defaults)
	maps.Copy(all, q)
	return all
}

// ForUsers checks that all quotas are such as a role or a user may have.
func (q Quotas) ForUsers() error {
	for _, name := range q.Names() {
		if kind, _ := KindOf(name); !kind.Users {
			return errs.New(errs.Invalid, "QUOTA_OF_ACCOUNTS", "the limit %s is of accounts, not of users", name).
				WithField("limits").WithNext("give it to the account")
		}
	}
	return nil
}

// Names returns the names in the order of QuotaKinds.
func (q Quotas) Names() []string {
	var names []string
	for _, k := range QuotaKinds() {
		if _, ok := q[k.Name]; ok {
			names = append(names, k.Name)
		}
	}
	return names
}
