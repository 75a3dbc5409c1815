package account

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// expansionsMax bounds the subjects that one list of a role may become, as in
// nats-server.
const expansionsMax = 4096

var errExpansions = errors.New("template expansion exceeds limit")

// placeholder is a function call in the subject of a role.
var placeholder = regexp.MustCompile(`\{\{([^}]+)\}\}`)

// expand fills the placeholders of a role's permissions in for one user, as
// nats-server does for scoped signing keys: {{name()}}, {{subject()}},
// {{account-name()}}, {{account-subject()}}, and {{tag(x)}} and
// {{account-tag(x)}}, which stand for every tag x:value in turn. What cannot be
// filled in refuses the user when it stands in a deny list, and drops the entry
// when it stands in an allow list, so that a mistake never allows more.
//
// Unlike there, a name with a wildcard in it counts as no subject, and what is
// filled in is not looked at for placeholders again: whoever chooses names would
// choose permissions.
func expand(p *jwt.Permissions, id *Identity, s *State) (*jwt.Permissions, error) {
	out := *p
	for i, list := range lists(&out) {
		if !slices.ContainsFunc(*list, placeholder.MatchString) {
			continue
		}
		filled, err := expandList(*list, i%2 == 1, id, s)
		if err != nil {
			return nil, err
		}
		*list = filled
	}
	return &out, nil
}

// expandList returns what becomes of a list. It is never nil: a list that
// allowed something must not turn into none, which allows everything.
func expandList(list jwt.StringList, deny bool, id *Identity, s *State) (jwt.StringList, error) {
	filled := jwt.StringList{}
	emitted := 0
	for _, entry := range list {
		t, err := parseTemplate(entry, id, s)
		if err != nil {
			return nil, err
		}
		if deny && t.undefined != "" {
			return nil, fmt.Errorf("template %q: there is no tag %q", entry, t.undefined)
		}
		n, err := t.count()
		if err != nil || t.tagged && emitted > expansionsMax-n {
			return nil, fmt.Errorf("template %q: %w: %d", entry, errExpansions, expansionsMax)
		}
		before := len(filled)
		if filled, err = t.appendTo(filled, deny); err != nil {
			return nil, err
		}
		emitted += (len(filled) - before) * n / t.distinct()
	}
	return filled, nil
}

// template is one entry with the values of its placeholders. The same
// placeholder twice stands for the same value.
type template struct {
	entry     string
	parts     []string // the text around the placeholders
	which     []int    // the value of each placeholder, as an index of values
	values    [][]string
	tagged    bool
	undefined string // a tag that is not there
}

func parseTemplate(entry string, id *Identity, s *State) (*template, error) {
	t := &template{entry: entry}
	seen := make(map[string]int)
	end := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(entry, -1) {
		t.parts = append(t.parts, entry[end:at[0]])
		end = at[1]
		text := entry[at[0]:at[1]]
		i, again := seen[text]
		if !again {
			i = len(t.values)
			seen[text] = i
			values, err := t.valuesOf(strings.TrimSpace(entry[at[2]:at[3]]), id, s)
			if err != nil {
				return nil, err
			}
			t.values = append(t.values, values)
		}
		t.which = append(t.which, i)
	}
	t.parts = append(t.parts, entry[end:])
	return t, nil
}

// unusable is filled in for what has no value: no subject has a space.
const unusable = " "

// valuesOf returns what a placeholder stands for.
func (t *template) valuesOf(call string, id *Identity, s *State) ([]string, error) {
	switch strings.ToLower(call) {
	case "name()":
		return named(id.Name), nil
	case "subject()":
		return named(id.User), nil
	case "account-name()":
		return named(s.Name), nil
	case "account-subject()":
		return named(id.Account.Key), nil
	}
	if name, ok := argument(call, "tag("); ok {
		return t.tagValues(id.Tags, name), nil
	}
	if name, ok := argument(call, "account-tag("); ok {
		return t.tagValues(s.Tags, name), nil
	}
	return nil, fmt.Errorf("template %q: function %q is not defined", t.entry, call)
}

func named(name string) []string {
	if strings.ContainsAny(name, "*>") {
		name = unusable
	}
	return []string{name}
}

// argument returns what stands between a function's opening parenthesis and the
// closing one at the end. A function in capitals is known, but, as in
// nats-server, has an argument that no tag has.
func argument(call, function string) (string, bool) {
	n := len(function)
	if len(call) < n || !strings.EqualFold(call[:n], function) || !strings.HasSuffix(call, ")") {
		return "", false
	}
	return strings.TrimSuffix(strings.TrimPrefix(call, function), ")"), true
}

func (t *template) tagValues(tags []string, name string) []string {
	t.tagged = true
	var values []string
	for _, tag := range tags {
		if v, ok := strings.CutPrefix(tag, strings.ToLower(name)+":"); ok {
			values = append(values, v)
		}
	}
	if values == nil {
		t.undefined = name
		return []string{unusable}
	}
	return values
}

// count returns how many subjects nats-server makes of the entry; it counts a
// placeholder that stands there twice twice.
func (t *template) count() (int, error) {
	n := 1
	for _, i := range t.which {
		if len(t.values[i]) > expansionsMax/n {
			return 0, errExpansions
		}
		n *= len(t.values[i])
	}
	return n, nil
}

// distinct returns how many different subjects the entry can become.
func (t *template) distinct() int {
	n := 1
	for _, v := range t.values {
		n *= len(v)
	}
	return n
}

// appendTo appends every combination of values that is a subject. In a deny list
// all must be.
func (t *template) appendTo(list jwt.StringList, deny bool) (jwt.StringList, error) {
	at := make([]int, len(t.values))
	for {
		subj := t.fill(at)
		switch {
		case subject.Valid(subj) && !strings.ContainsAny(subj, " \t\r\n\f"):
			list = append(list, subj)
		case deny:
			return nil, fmt.Errorf("template %q: %q is not a subject", t.entry, subj)
		}
		i := len(at) - 1
		for ; i >= 0; i-- {
			if at[i]++; at[i] < len(t.values[i]) {
				break
			}
			at[i] = 0
		}
		if i < 0 {
			return list, nil
		}
	}
}

func (t *template) fill(at []int) string {
	var b strings.Builder
	for i, part := range t.parts {
		b.WriteString(part)
		if i < len(t.which) {
			w := t.which[i]
			b.WriteString(t.values[w][at[w]])
		}
	}
	return b.String()
}
