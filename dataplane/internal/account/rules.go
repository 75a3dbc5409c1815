package account

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/permission"
)

// Claimed is what the JWT of a user says of it, once verified. Immutable: all
// connections that show the same JWT share one.
type Claimed struct {
	Rules       *Rules
	Permissions *permission.Set // nil if it has none of its own
	Quotas      accounts.Quotas // of its tags
	Expires     int64           // Unix second; 0 for never
	Blank       bool            // it says nothing of what the user may do, as users of a role must
}

// Rules are what a user's claims, or those of its role, say beside permissions.
// Immutable.
type Rules struct {
	Limits Limits
	Bearer bool // nothing needs to be signed

	sources []netip.Prefix // where the user may connect from; nil for anywhere
	windows []window       // when, each day; nil for always
	zone    *time.Location // of the windows; nil if it is unknown, which is never
	plain   bool           // connections other than WebSocket and the like are allowed
}

// window is a time of each day. It may go over midnight.
type window struct{ start, end time.Duration }

// NewRules compiles the limits of a claim. What in them is not valid allows
// nothing.
func NewRules(l *jwt.UserPermissionLimits) *Rules {
	r := &Rules{
		Limits: Limits{Connections: NoLimit, Leafs: NoLimit, Subscriptions: l.Subs, Payload: l.Payload},
		Bearer: l.BearerToken,
		plain: len(l.AllowedConnectionTypes) == 0 || slices.ContainsFunc(l.AllowedConnectionTypes, func(kind string) bool {
			return strings.EqualFold(kind, jwt.ConnectionTypeStandard)
		}),
	}
	if len(l.Src) > 0 {
		r.sources = []netip.Prefix{}
	}
	for _, cidr := range l.Src {
		if p, err := netip.ParsePrefix(cidr); err == nil {
			r.sources = append(r.sources, p)
		}
	}
	if len(l.Times) == 0 {
		return r
	}
	r.windows = []window{}
	if r.zone = time.Local; l.Locale != "" {
		r.zone, _ = time.LoadLocation(l.Locale) // nil allows no time
	}
	for _, t := range l.Times {
		start, err := clock(t.Start)
		end, err2 := clock(t.End)
		if err == nil && err2 == nil {
			r.windows = append(r.windows, window{start, end})
		}
	}
	return r
}

// clock parses a time of day.
func clock(s string) (time.Duration, error) {
	t, err := time.Parse(time.TimeOnly, s)
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second, err
}

// refuses says why a user may not be connected from an address now, or until
// which second it may; 0 for ever.
func (r *Rules) refuses(remote netip.Addr, now time.Time) (until int64, _ *Refusal) {
	if r.sources != nil && !slices.ContainsFunc(r.sources, func(p netip.Prefix) bool { return p.Contains(remote.Unmap()) }) {
		return 0, Violation("the user may not connect from " + remote.String())
	}
	if !r.plain {
		return 0, Violation("the user may not use this kind of connection")
	}
	if r.windows == nil {
		return 0, nil
	}
	end := r.until(now)
	if end.IsZero() {
		return 0, Violation("the user may not connect at this time of day")
	}
	return end.Unix(), nil
}

// until returns the latest end of the windows that now lies in; the zero time if
// it lies in none.
func (r *Rules) until(now time.Time) (latest time.Time) {
	if r.zone == nil {
		return time.Time{}
	}
	now = now.In(r.zone)
	at := func(clock time.Duration, days int) time.Time {
		h, m, s := int(clock.Hours()), int(clock.Minutes())%60, int(clock.Seconds())%60
		return time.Date(now.Year(), now.Month(), now.Day()+days, h, m, s, 0, r.zone)
	}
	for _, w := range r.windows {
		start, end := at(w.start, 0), at(w.end, 0)
		switch {
		case w.start <= w.end:
		case now.Before(end):
			start = at(w.start, -1)
		default:
			end = at(w.end, 1)
		}
		if !now.Before(start) && now.Before(end) && end.After(latest) {
			latest = end
		}
	}
	return latest
}

// Bearer reports whether a user that showed a JWT need not sign anything.
func (s *State) Bearer(id *Identity) bool {
	if scope := s.Signers[id.Issuer]; scope != nil {
		return scope.Rules.Bearer
	}
	return id.Claimed.Rules.Bearer
}

// Fit returns a user as this state has it: with the rules and permissions that
// its claims, its role and the account now give it. The refusal says why it may
// not be connected.
func (s *State) Fit(id *Identity, now time.Time) (*Identity, *Refusal) {
	if id.Claimed == nil {
		return id, s.Admits(id, now)
	}
	next := *id
	next.State, next.Expires = s, id.Claimed.Expires
	if r := s.Admits(&next, now); r != nil {
		return nil, r
	}
	rules, r := s.rules(id, &next)
	if r != nil {
		return nil, r
	}
	if rules.Bearer && s.NoBearer {
		return nil, Violation("the account does not allow bearer tokens")
	}
	until, r := rules.refuses(id.Remote, now)
	if r != nil {
		return nil, r
	}
	if until != 0 && (next.Expires == 0 || until < next.Expires) {
		next.Expires = until
	}
	next.Limits = rules.Limits
	return &next, nil
}

// rules returns the rules of a user by its claims or its role, and gives next
// the permissions.
func (s *State) rules(id, next *Identity) (*Rules, *Refusal) {
	scope := s.Signers[id.Issuer]
	if id.State != nil && (scope == nil) != (id.State.Signers[id.Issuer] == nil) {
		return nil, RoleChanged
	}
	rules := id.Claimed.Rules
	next.Quotas = id.Claimed.Quotas
	switch {
	case scope == nil && id.Claimed.Permissions != nil:
		next.Permissions = id.Claimed.Permissions
	case scope == nil:
		next.Permissions = s.Default
	case !id.Claimed.Blank:
		return nil, Violation("the user has permissions of its own beside the role " + scope.Role)
	default:
		rules = scope.Rules
		next.Quotas = scope.Quotas.Lower(id.Claimed.Quotas)
		p, err := scope.Template(next)
		if err != nil {
			return nil, Violation("the user's role " + scope.Role + ": " + err.Error())
		}
		next.Permissions = p
	}
	if s.External != nil {
		next.Permissions = next.Permissions.DenyPublish(CalloutSubject)
	}
	if next.Permissions.Equal(id.Permissions) {
		next.Permissions = id.Permissions
	}
	return rules, nil
}
