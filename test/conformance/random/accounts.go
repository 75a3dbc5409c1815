package random

import (
	"fmt"
	"strings"
)

// export is what an account offers to others.
type export struct {
	account, kind, subject string
	position               bool // the importing account's name is a token
}

// accounts draws several accounts that share with one another.
func (d source) accounts(s *Setup) {
	names := []string{"A", "B", "C"}[:d.between(1, 3)]
	offers := map[string][]export{}
	var all []export
	for _, name := range names {
		for _, subject := range d.some(d.between(0, 3), []string{"s.>", "s.*", "s.one", "q.*", "q.>", "q.one", "q.*.*", "l.*", "a.>", "x"}) {
			e := export{account: name, kind: d.one("stream", "service"), subject: subject}
			e.position = strings.Contains(subject, "*") && d.chance(15)
			offers[name] = append(offers[name], e)
			all = append(all, e)
		}
	}
	s.add("accounts {")
	for _, name := range names {
		s.add("  %s {", name)
		d.members(s, name)
		d.exports(s, offers[name], names)
		foreign := d.imports(s, name, all)
		for i := range s.Users {
			if s.Users[i].Account == name {
				s.Users[i].Foreign = foreign
			}
		}
		d.mappings(s, "    ", append([]string{"s.one", "q.one", "l.x", "q.a.b"}, plain()...))
		s.add("  }")
	}
	s.add("}")
	d.anonymous(s)
}

// members draws the users of an account.
func (d source) members(s *Setup, account string) {
	s.add("    users: [")
	for i := range d.between(1, 2) {
		u := User{Name: fmt.Sprintf("%s%d", strings.ToLower(account), i), Account: account}
		if d.chance(25) {
			s.add("      { user: %s, password: %s, permissions: {", u.Name, password)
			u.Allowed = d.permissions(s, "        ")
			s.add("      } }")
		} else {
			s.add("      { user: %s, password: %s }", u.Name, password)
		}
		s.Users = append(s.Users, u)
	}
	s.add("    ]")
	if d.chance(15) {
		s.add("    default_permissions: {")
		allowed := d.permissions(s, "      ")
		s.add("    }")
		for i := range s.Users {
			if u := &s.Users[i]; u.Account == account && u.Allowed == nil {
				u.Allowed = allowed
			}
		}
	}
}

func (d source) exports(s *Setup, offers []export, accounts []string) {
	if len(offers) == 0 {
		return
	}
	s.add("    exports: [")
	for _, e := range offers {
		s.Filters = append(s.Filters, e.subject)
		more := ""
		if e.kind == "service" {
			more += d.one("", "", ", response_type: singleton", ", response_type: stream", ", response: chunked", ", response_threshold: \"5s\"")
		}
		switch {
		case e.position:
			more += fmt.Sprintf(", account_token_position: %d", 1+strings.Count(e.subject[:strings.IndexByte(e.subject, '*')], "."))
		case d.chance(20):
			more += fmt.Sprintf(", accounts: %s", quoted(d.some(d.between(1, 2), accounts)))
		}
		if more == "" && d.chance(10) {
			more = ", accounts: []"
		}
		s.add("      { %s: %q%s }", e.kind, e.subject, more)
	}
	s.add("    ]")
}

// imports draws what the account takes of others, and tells whether there is any
// stream among it.
func (d source) imports(s *Setup, account string, all []export) bool {
	var lines []string
	streams := false
	for i, e := range all {
		if e.account == account && !d.chance(5) || !d.chance(60) {
			continue
		}
		subject := e.subject
		if e.position {
			subject = strings.Replace(subject, "*", account, 1)
		} else if d.chance(25) {
			subject = d.filled(subject)
		}
		line, local := d.imported(e, subject, fmt.Sprintf("i%d", i))
		streams = streams || e.kind == "stream"
		s.Filters = append(s.Filters, local, local)
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return false
	}
	s.add("    imports: [")
	s.Lines = append(s.Lines, lines...)
	s.add("    ]")
	return streams
}

// imported writes an import and returns the subject it has here.
func (d source) imported(e export, subject, name string) (line, local string) {
	source := fmt.Sprintf("%s: { account: %s, subject: %q }", e.kind, e.account, subject)
	more := ""
	local = subject
	switch pick := d.below(4); {
	case pick == 0 && e.kind == "stream":
		local = name + "." + subject
		more = fmt.Sprintf(", prefix: %q", name)
	case pick <= 1:
		local = d.renamed(subject, name)
		more = fmt.Sprintf(", to: %q", local)
		local = strings.ReplaceAll(strings.ReplaceAll(local, "$1", "*"), "$2", "*")
	}
	if e.kind == "service" && d.chance(20) {
		more += ", share: true"
	}
	return fmt.Sprintf("      { %s%s }", source, more), local
}

// renamed draws another name for a subject with the same wildcards.
func (d source) renamed(subject, name string) string {
	switch wild := strings.Count(subject, "*"); {
	case strings.HasSuffix(subject, ">"):
		return name + ".>"
	case wild == 2:
		return name + d.one(".$1.$2", ".$2.$1", ".*.*")
	case wild == 1:
		return name + d.one(".$1", ".*", ".$1.x")
	}
	return d.one(name, name+".x", "a.b")
}
