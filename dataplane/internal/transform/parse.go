package transform

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// kind is what a token of a destination does.
type kind uint8

const (
	literal kind = iota
	wildcard
	partition
	splitFromLeft
	splitFromRight
	sliceFromLeft
	sliceFromRight
	right
	left
	split
	random
)

// function is a function by its name, as it is looked for.
type function struct {
	kind kind
	call *regexp.Regexp
}

// functions are in the order in which a token is tried: a token may look like
// several.
//
//nolint:gochecknoglobals // a constant, but for its type
var functions = []function{
	named(wildcard, "Wildcard"),
	named(partition, "Partition"),
	named(splitFromLeft, "SplitFromLeft"),
	named(splitFromRight, "SplitFromRight"),
	named(sliceFromLeft, "SliceFromLeft"),
	named(sliceFromRight, "SliceFromRight"),
	named(right, "Right"),
	named(left, "Left"),
	named(split, "Split"),
	named(random, "Random"),
}

// named makes the pattern of a function: the initials of the words in its name
// may be small letters, too.
func named(k kind, name string) function {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteString("[" + string(r) + string(unicode.ToLower(r)) + "]")
		} else {
			b.WriteRune(r)
		}
	}
	return function{k, regexp.MustCompile(`\{\{\s*` + b.String() + `\s*\((.*)\)\s*\}\}`)}
}

var comma = regexp.MustCompile(`,\s*`) //nolint:gochecknoglobals // a constant, but for its type

// step is one token of a destination.
type step struct {
	kind   kind
	text   string // of a literal; what Split splits by
	number int32  // of partitions, where to cut, and the like
	tokens []int  // of the source, from 0; while parsing, wildcards of it from 1
}

// isCall reports whether a token looks like a function.
func isCall(token string) bool {
	return len(token) > 4 && strings.HasPrefix(token, "{{") && strings.HasSuffix(token, "}}")
}

// parse reads a token of a destination.
func parse(token string) (step, error) {
	if len(token) > 1 && token[0] == '$' {
		// Much else begins with a dollar sign, and stays as it is.
		if n, err := strconv.Atoi(token[1:]); err == nil {
			return step{kind: wildcard, tokens: []int{n}}, nil
		}
	}
	if !isCall(token) {
		return step{kind: literal, text: token}, nil
	}
	for _, f := range functions {
		if m := f.call.FindStringSubmatch(token); m != nil {
			s, err := parseArgs(f.kind, comma.Split(m[1], -1))
			if err != nil {
				return step{}, at(err, token)
			}
			return s, nil
		}
	}
	return step{}, at(errFunction, token)
}

func parseArgs(k kind, args []string) (step, error) {
	switch k {
	case wildcard:
		return parseWildcard(args)
	case partition:
		return parsePartition(args)
	case random:
		if len(args) != 1 {
			return step{}, errFewArgs
		}
		n, err := count(args[0])
		return step{kind: random, number: n}, err
	default:
		return parseTwo(k, args)
	}
}

// parseTwo reads the arguments of a function of a wildcard and something else.
func parseTwo(k kind, args []string) (step, error) {
	if len(args) < 2 {
		return step{}, errFewArgs
	}
	if len(args) > 2 {
		return step{}, errManyArgs
	}
	token, err := index(args[0])
	if err != nil {
		return step{}, err
	}
	if k == split {
		if strings.ContainsAny(args[1], " .") {
			return step{}, errArg
		}
		return step{kind: split, tokens: []int{token}, text: args[1]}, nil
	}
	n, err := strconv.ParseInt(strings.Trim(args[1], " "), 10, 32)
	if err != nil {
		return step{}, errArg
	}
	return step{kind: k, tokens: []int{token}, number: int32(n)}, nil
}

func parseWildcard(args []string) (step, error) {
	if len(args) > 1 {
		return step{}, errManyArgs
	}
	if args[0] == "" {
		return step{}, errFewArgs
	}
	n, err := index(args[0])
	return step{kind: wildcard, tokens: []int{n}}, err
}

func parsePartition(args []string) (step, error) {
	n, err := count(args[0])
	if err != nil {
		return step{}, err
	}
	s := step{kind: partition, number: n}
	for _, arg := range args[1:] {
		i, err := index(arg)
		if err != nil {
			return step{}, err
		}
		s.tokens = append(s.tokens, i)
	}
	return s, nil
}

func index(arg string) (int, error) {
	n, err := strconv.Atoi(strings.Trim(arg, " "))
	if err != nil {
		return 0, errArg
	}
	return n, nil
}

func count(arg string) (int32, error) {
	n, err := index(arg)
	if err != nil || n > math.MaxInt32 {
		return 0, errArg
	}
	return int32(n), nil //nolint:gosec // far below zero it means something else, as in nats-server
}
