package random

import (
	"fmt"
	"slices"
	"strings"
)

// Setup is the configuration of a server, and what sessions need to know of it.
type Setup struct {
	// Lines of the configuration file.
	Lines []string
	// Users that may connect; the first stands for who shows nothing.
	Users []User
	// Anonymous tells that who shows nothing is let in, as the first user.
	Anonymous bool
	// Token is the secret where there are no users.
	Token string
	// Filters are subjects, with wildcards, that the configuration names.
	Filters []string
	// MaxPayload is the largest payload.
	MaxPayload int
	// Queues are names of groups that the configuration names.
	Queues []string
}

// User is somebody whom the configuration lets in.
type User struct {
	Name, Account string
	// Allowed are the filters that may be subscribed to; none for all.
	Allowed []string
	// Foreign tells that messages of other accounts reach this one.
	Foreign bool
}

// password is everybody's.
const password = "pw"

// Config returns the text of the configuration file.
func (s *Setup) Config() string { return strings.Join(s.Lines, "\n") + "\n" }

func (s *Setup) add(format string, args ...any) {
	s.Lines = append(s.Lines, fmt.Sprintf(format, args...))
}

// plain are subjects that sessions use whatever the configuration.
func plain() []string { return []string{"a", "b", "a.b", "a.*", "a.>", "*.b", ">", "a.b.c", "b.*.c"} }

// DrawSetup draws a configuration. Now and then it is one that servers refuse.
func DrawSetup(seed, number uint64) *Setup {
	d := newSource(seed, number)
	s := &Setup{MaxPayload: []int{64, 256, 512}[d.below(3)]}
	s.Filters = append(s.Filters, plain()...)
	s.add("max_payload: %d", s.MaxPayload)
	d.limits(s)
	switch d.weighted(20, 5, 30, 45) {
	case 0:
		s.Users, s.Anonymous = []User{{}}, true
		d.mappings(s, "", plain())
	case 1:
		s.Token = "s3cr3t"
		s.Users = []User{{}}
		s.add("authorization { token: %s }", s.Token)
	case 2:
		d.users(s)
		d.mappings(s, "", plain())
	default:
		d.accounts(s)
	}
	return s
}

func (d source) limits(s *Setup) {
	if d.chance(15) {
		s.add("max_control_line: %d", d.between(150, 300))
	}
	if d.chance(15) {
		s.add("%s: %d", d.one("max_subscriptions", "max_subs"), d.between(1, 4))
	}
	if d.chance(10) {
		s.add("max_sub_tokens: %d", d.between(1, 3))
	}
	if d.chance(8) {
		s.add("no_header_support: true")
	}
	if d.chance(4) {
		s.add("max_connections: %d", d.between(1, 3))
	}
}

// users draws users of one account and what each may do.
func (d source) users(s *Setup) {
	s.add("authorization {")
	var fallback []string
	if d.chance(30) {
		s.add("  default_permissions: {")
		fallback = d.permissions(s, "    ")
		s.add("  }")
	}
	s.add("  users: [")
	for i := range d.between(1, 4) {
		u := User{Name: fmt.Sprintf("u%d", i), Allowed: fallback}
		if d.chance(75) {
			s.add("    { user: %s, password: %s, permissions: {", u.Name, password)
			u.Allowed = d.permissions(s, "      ")
			s.add("    } }")
		} else {
			s.add("    { user: %s, password: %s }", u.Name, password)
		}
		s.Users = append(s.Users, u)
	}
	s.add("  ]")
	s.add("}")
	d.anonymous(s)
}

// anonymous lets in who shows nothing, at times.
func (d source) anonymous(s *Setup) {
	if s.Anonymous = d.chance(40); s.Anonymous {
		s.add("no_auth_user: %s", s.Users[0].Name)
	}
}

// permissions draws what a user may do, and returns what may be subscribed to.
func (d source) permissions(s *Setup, indent string) []string {
	subjects := append(plain(), "in.*", "in.>", "_INBOX.>", "in.a", "q.*", "m.>")
	s.Filters = append(s.Filters, "in.*", "_INBOX.*", "in.a.b")
	for _, verb := range []string{"publish", "pub"} {
		if d.chance(35) {
			d.permission(s, indent+verb, subjects)
			break
		}
	}
	var allowed []string
	if d.chance(65) {
		if d.chance(40) {
			q := d.one("work", "w.*", "w.>", "*")
			s.Queues = append(s.Queues, d.filled(q))
			for _, f := range d.some(3, subjects) {
				subjects = append(subjects, f+" "+q)
			}
		}
		allowed = d.permission(s, indent+d.one("subscribe", "sub"), subjects)
	}
	if d.chance(25) {
		s.add("%s%s: %s", indent, d.one("allow_responses", "allow_response"),
			d.one("true", "{ max: 1 }", "{ max: 2, expires: \"1m\" }", "{ max: 3, ttl: \"1m\" }", "false"))
	}
	return allowed
}

// permission draws one side of what a user may do, and returns what is allowed.
func (d source) permission(s *Setup, key string, subjects []string) []string {
	allow, deny := d.some(d.between(0, 3), subjects), d.some(d.between(1, 2), subjects)
	switch {
	case len(allow) == 0:
		s.add("%s: { deny: %s }", key, quoted(deny))
	case d.chance(15):
		s.add("%s: %q", key, allow[0])
		return allow[:1]
	case d.chance(40):
		s.add("%s: %s", key, quoted(allow))
	case d.chance(40):
		s.add("%s: { allow: %s }", key, quoted(allow))
	default:
		s.add("%s: { allow: %s, deny: %s }", key, quoted(allow), quoted(deny))
	}
	return allow
}

// mappings draws what becomes of some subjects on their way.
func (d source) mappings(s *Setup, indent string, to []string) {
	if !d.chance(60) {
		return
	}
	s.add("%s%s: {", indent, d.one("mappings", "maps"))
	var taken []string
	for range d.between(1, 4) {
		from, dest := d.mapping(to)
		if slices.ContainsFunc(taken, func(t string) bool { return overlap(t, from) }) {
			continue // which of two holds is a matter of chance
		}
		taken = append(taken, from)
		s.Filters = append(s.Filters, from)
		switch d.below(4) {
		case 0:
			s.add("%s  %q: [ { destination: %q, weight: 100%% } ]", indent, from, dest)
		case 1:
			s.add("%s  %q: [ { dest: %q, weight: 100 } ]", indent, from, dest)
		default:
			s.add("%s  %q: %q", indent, from, dest)
		}
	}
	s.add("%s}", indent)
}

// overlap reports whether there is a subject that both filters match.
func overlap(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		switch {
		case x[i] == ">" || y[i] == ">":
			return true
		case x[i] != "*" && y[i] != "*" && x[i] != y[i]:
			return false
		}
	}
	return len(x) == len(y)
}

func (d source) mapping(to []string) (from, dest string) {
	switch d.below(8) {
	case 0:
		return "m.*", d.one("a.$1", "b.$1.c", "n.$1", "a.{{wildcard(1)}}", "a")
	case 1:
		return "m.*.*", d.one("a.$2.$1", "a.$1", "n.{{Wildcard(2)}}.x", "a.{{wildcard(2)}}.{{wildcard(1)}}")
	case 2:
		return "m.>", d.one("a.>", "n.>", "b.x.>")
	case 3:
		return "m.p.*", d.one("a.{{partition(3,1)}}", "a.{{partition(10,1)}}.{{wildcard(1)}}", "{{partition(2,1)}}.b")
	case 4:
		return "m.s.*", d.one("a.{{split(1,-)}}", "a.{{splitfromleft(1,1)}}", "a.{{SplitFromRight(1,2)}}", "a.{{left(1,1)}}", "a.{{right(1,1)}}", "a.{{slicefromleft(1,2)}}", "a.{{SliceFromRight(1,2)}}")
	case 5:
		return d.one(plain()...), d.filled(d.one(to...))
	}
	return d.one("m", "m.one", "a"), d.filled(d.one(to...))
}
