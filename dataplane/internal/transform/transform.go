package transform

import (
	"slices"
	"strconv"
	"strings"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// Transform rewrites subjects from a source to a destination. Immutable.
type Transform struct {
	source, dest string
	steps        []step
	tokens       int  // of source
	rest         bool // source and destination end in `>`
	same         bool // everything stays as it is
}

// New returns a transform of the subjects that source matches. An empty source
// is everything.
func New(source, dest string) (*Transform, error) { return build(source, dest, false) }

// NewStrict returns a transform that can be reversed: it uses no function but
// Wildcard, and all wildcards of the source.
func NewStrict(source, dest string) (*Transform, error) { return build(source, dest, true) }

func build(source, dest string, strict bool) (*Transform, error) {
	if source == "" {
		source = ">"
	}
	if !subject.Valid(source) || !subject.Valid(dest) {
		return nil, ErrSubject
	}
	from, to := strings.Split(source, "."), strings.Split(dest, ".")
	t := &Transform{source: source, dest: dest, tokens: len(from), rest: subject.IsRest(from[len(from)-1])}
	t.same = source == ">" && dest == ">"
	if slices.ContainsFunc(to, subject.IsOne[string]) || subject.IsRest(to[len(to)-1]) != t.rest {
		return nil, ErrSubject
	}
	if err := t.compile(to, wildcards(from), strict); err != nil {
		return nil, err
	}
	return t, nil
}

// wildcards returns where the wildcards of a source are.
func wildcards(tokens []string) []int {
	var at []int
	for i, token := range tokens {
		if subject.IsOne(token) {
			at = append(at, i)
		}
	}
	return at
}

// compile reads the tokens of the destination.
func (t *Transform) compile(to []string, wild []int, strict bool) error {
	used := 0
	for _, token := range to {
		s, err := parse(token)
		if err != nil {
			return err
		}
		if strict && (len(wild) > 0 || t.rest) && s.kind != literal && s.kind != wildcard {
			return at(errIrreversible, token)
		}
		if err := t.place(&s, token, wild); err != nil {
			return err
		}
		used += len(s.tokens)
		t.steps = append(t.steps, s)
	}
	if strict && used < len(wild) {
		return at(errAllWildcards, t.dest)
	}
	return nil
}

// place turns the wildcards that a step names into tokens of the source.
func (t *Transform) place(s *step, token string, wild []int) error {
	if len(wild) == 0 && !t.rest {
		switch s.kind {
		case literal, random:
			return nil
		case partition:
			s.tokens = nil
			return nil
		default:
			return at(errRange, token)
		}
	}
	for i, n := range s.tokens {
		switch {
		case n > len(wild):
			return at(errRange, token+": ["+strconv.Itoa(n)+"]")
		case n > 0:
			s.tokens[i] = wild[n-1]
		default:
			s.tokens[i] = 0 // nats-server takes no wildcard at all for the first token
		}
	}
	return nil
}

// Source returns the subjects that are rewritten.
func (t *Transform) Source() string { return t.source }

// Dest returns what they are rewritten to.
func (t *Transform) Dest() string { return t.dest }

// Matches reports whether a literal subject is rewritten.
func (t *Transform) Matches(s []byte) bool {
	return t.same || subject.ValidLiteral(s) && subject.MatchesLiteral(s, t.source)
}

// Reverse returns the transform that undoes a strict one.
func (t *Transform) Reverse() (*Transform, error) {
	from := strings.Split(t.source, ".")
	to := make([]string, len(t.steps))
	n := 0
	for i, s := range t.steps {
		to[i] = s.text
		if s.kind != wildcard {
			continue
		}
		n++
		to[i] = "*"
		from[s.tokens[0]] = "$" + strconv.Itoa(n)
	}
	return New(strings.Join(to, "."), strings.Join(from, "."))
}

// Numbered returns a subject with its wildcards as a destination names them:
// `a.*.*` becomes `a.$1.$2`.
func Numbered(s string) string {
	tokens := strings.Split(s, ".")
	n := 0
	for i, token := range tokens {
		if subject.IsOne(token) {
			n++
			tokens[i] = "$" + strconv.Itoa(n)
		}
	}
	return strings.Join(tokens, ".")
}

// Pattern returns the subjects that a strict destination stands for: `a.$2.$1`
// becomes `a.*.*`.
func Pattern(dest string) string {
	tokens := strings.Split(dest, ".")
	for i, token := range tokens {
		if isPlaceholder(token) {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

func isPlaceholder(token string) bool {
	if len(token) > 1 && token[0] == '$' && token[1] >= '1' && token[1] <= '9' {
		return true
	}
	m := functions[0].call.FindStringSubmatch(token)
	return m != nil && m[1] != "" && !comma.MatchString(m[1])
}
