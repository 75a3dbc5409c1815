package filter

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

func itoa(n int) string { return strconv.Itoa(n) }

// token is a word, a quoted text, an operator or a parenthesis.
type token struct {
	text   string
	at     int  // byte where it begins
	quoted bool // text in quotes: never a keyword, a number or a *
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.*@/+-", c) >= 0 || c >= 0x80
}

// scan cuts a filter into tokens.
func scan(text string) ([]token, error) {
	var tokens []token
	for i := 0; i < len(text); {
		if strings.IndexByte(" \t\n", text[i]) >= 0 {
			i++
			continue
		}
		t, next, err := scanOne(text, i, tokens)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		i = next
	}
	return tokens, nil
}

// scanOne reads the token at i, after others, and returns where it ends.
func scanOne(text string, i int, before []token) (token, int, error) {
	word := func(end int) (token, int, error) { return token{text: text[i:end], at: i}, end, nil }
	switch c := text[i]; {
	case c == '"' || c == '\'':
		return scanQuoted(text, i)
	case strings.IndexByte("()=:", c) >= 0:
		return word(i + 1)
	case strings.IndexByte("<>!", c) >= 0:
		if strings.HasPrefix(text[i+1:], "=") {
			return word(i + 2)
		}
		return word(i + 1)
	case c == '-' && (len(before) == 0 || !isOperator(before[len(before)-1])):
		return word(i + 1)
	case wordByte(c):
		end := i
		for end < len(text) && (wordByte(text[end]) || text[end] == ':' && colonInWord(text, i, end)) {
			end++
		}
		return word(end)
	default:
		return token{}, 0, refuse(i, "%q was not expected", string(c))
	}
}

// colonInWord tells the colons of a time, 2026-01-01T00:00:00Z, from operators.
func colonInWord(text string, from, i int) bool {
	return text[from] >= '0' && text[from] <= '9' && i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9'
}

func scanQuoted(text string, from int) (token, int, error) {
	var b strings.Builder
	for i := from + 1; i < len(text); i++ {
		switch {
		case text[i] == text[from]:
			return token{text: b.String(), at: from, quoted: true}, i + 1, nil
		case text[i] == '\\' && i+1 < len(text):
			i++
		}
		b.WriteByte(text[i])
	}
	return token{}, 0, refuse(from, "the quotes are not closed")
}

func isOperator(t token) bool {
	if t.quoted {
		return false
	}
	switch t.text {
	case "=", "!=", "<", "<=", ">", ">=", ":":
		return true
	}
	return false
}

func (t token) is(word string) bool { return !t.quoted && t.text == word }

// parser reads tokens: all = some {AND some}; some = one {OR one}; one =
// [NOT | -] (comparison | "(" all ")").
type parser struct {
	tokens []token
	of     protoreflect.MessageDescriptor
	end    int
}

func (p *parser) peek() (token, bool) {
	if len(p.tokens) == 0 {
		return token{at: p.end}, false
	}
	return p.tokens[0], true
}

func (p *parser) take(word string) bool {
	if t, ok := p.peek(); !ok || !t.is(word) {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

func (p *parser) all(depth int) (node, error) {
	var parts and
	for {
		n, err := p.some(depth)
		if err != nil {
			return nil, err
		}
		parts = append(parts, n)
		if !p.take("AND") {
			return parts, nil
		}
	}
}

func (p *parser) some(depth int) (node, error) {
	var parts or
	for {
		n, err := p.one(depth)
		if err != nil {
			return nil, err
		}
		parts = append(parts, n)
		if !p.take("OR") {
			return parts, nil
		}
	}
}

func (p *parser) one(depth int) (node, error) {
	t, ok := p.peek()
	if depth > depthMax {
		return nil, refuse(t.at, "more than %d levels", depthMax)
	}
	switch {
	case !ok:
		return nil, refuse(t.at, "something is missing")
	case p.take("NOT"), p.take("-"):
		n, err := p.one(depth + 1)
		return not{n}, err
	case p.take("("):
		n, err := p.all(depth + 1)
		if err != nil {
			return nil, err
		}
		if t, _ := p.peek(); !p.take(")") {
			return nil, refuse(t.at, "a closing parenthesis is missing")
		}
		return n, nil
	}
	return p.comparison()
}

func (p *parser) comparison() (node, error) {
	field, _ := p.peek()
	p.tokens = p.tokens[1:]
	path, err := fieldPath(field, p.of)
	if err != nil {
		return nil, err
	}
	op, ok := p.peek()
	if !ok || !isOperator(op) {
		return nil, refuse(op.at, "an operator is missing after %q", field.text)
	}
	p.tokens = p.tokens[1:]
	value, ok := p.peek()
	if !ok || isOperator(value) || value.is("(") || value.is(")") {
		return nil, refuse(value.at, "a value is missing after %q", op.text)
	}
	p.tokens = p.tokens[1:]
	return newComparison(path, op, value)
}

// fieldPath finds the field that a word names: its parts are separated by dots.
func fieldPath(t token, of protoreflect.MessageDescriptor) ([]protoreflect.FieldDescriptor, error) {
	if t.quoted {
		return nil, refuse(t.at, "a field is missing")
	}
	var path []protoreflect.FieldDescriptor
	for part := range strings.SplitSeq(t.text, ".") {
		var f protoreflect.FieldDescriptor
		if of != nil {
			f = of.Fields().ByName(protoreflect.Name(part))
		}
		if f == nil || f.IsMap() {
			return nil, refuse(t.at, "there is no field %q", t.text)
		}
		path = append(path, f)
		of = nil
		if f.Message() != nil && f.Message().FullName() != timestampName {
			of = f.Message()
		}
	}
	return path, nil
}
