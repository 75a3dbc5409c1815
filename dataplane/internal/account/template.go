package account

import (
	"fmt"
	"strings"

	"github.com/nats-io/jwt/v2"
)

// expand fills the placeholders of a role's permissions in for one user:
// {{name()}}, {{subject()}}, {{account-name()}} and {{account-subject()}}, as in
// nats-server's scoped signing keys. A placeholder that cannot be filled in
// refuses the user when it stands in a deny list, and drops the entry when it
// stands in an allow list, so that a mistake never allows more.
func expand(p *jwt.Permissions, id *Identity, s *State) (*jwt.Permissions, error) {
	out := *p
	for i, list := range lists(&out) {
		deny := i%2 == 1
		var filled jwt.StringList
		for _, entry := range *list {
			text, err := fill(entry, id, s)
			switch {
			case err == nil:
				filled = append(filled, text)
			case deny:
				return nil, err
			}
		}
		if filled == nil && *list != nil && !deny {
			// Nothing is left of a list that allowed something: allow nothing.
			filled = jwt.StringList{}
		}
		*list = filled
	}
	return &out, nil
}

func fill(entry string, id *Identity, s *State) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(entry, "{{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, tail, closed := strings.Cut(after, "}}")
		if !closed {
			return "", fmt.Errorf("template %q: unclosed placeholder", entry)
		}
		value, err := placeholder(strings.ToLower(strings.TrimSpace(name)), id, s)
		if err != nil {
			return "", err
		}
		if value == "" || strings.ContainsAny(value, " \t\r\n.*>") {
			return "", fmt.Errorf("template %q: %q is not one subject token", entry, value)
		}
		b.WriteString(value)
		entry = tail
	}
}

func placeholder(name string, id *Identity, s *State) (string, error) {
	switch name {
	case "name()":
		return id.Name, nil
	case "subject()":
		return id.User, nil
	case "account-name()":
		return s.Name, nil
	case "account-subject()":
		return id.Account.Key, nil
	}
	return "", fmt.Errorf("template function %q: not supported", name)
}
