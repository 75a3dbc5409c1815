// Package subject holds the rules of NATS subjects: tokens separated by dots,
// `*` for any one token and `>` for one or more at the end. It is pure.
package subject

import "bytes"

const (
	separator = '.'
	one       = '*'
	rest      = '>'
)

// Next cuts the first token off s. More is false when that was the last one.
func Next[S ~string | ~[]byte](s S) (token, tail S, more bool) {
	for i := range len(s) {
		if s[i] == separator {
			return s[:i], s[i+1:], true
		}
	}
	return s, s[len(s):], false
}

// Valid reports whether s may be subscribed: no empty token, `>` only at the
// end. Wildcard characters inside longer tokens are ordinary characters.
func Valid[S ~string | ~[]byte](s S) bool {
	for more := true; more; {
		var token S
		token, s, more = Next(s)
		if len(token) == 0 || more && isRest(token) {
			return false
		}
	}
	return true
}

// Whole reports whether s has no empty token. What has one matches nothing, in
// whichever place.
func Whole[S ~string | ~[]byte](s S) bool {
	dot := true
	for i := range len(s) {
		if s[i] != separator {
			dot = false
		} else if dot {
			return false
		} else {
			dot = true
		}
	}
	return !dot
}

// ValidLiteral reports whether s is a subject without wildcards and without
// empty tokens.
func ValidLiteral[S ~string | ~[]byte](s S) bool {
	for more := true; more; {
		var token S
		token, s, more = Next(s)
		if len(token) == 0 || isOne(token) || isRest(token) {
			return false
		}
	}
	return true
}

// HasWildcard reports whether one of the tokens of s is a wildcard.
func HasWildcard[S ~string | ~[]byte](s S) bool {
	for more := true; more; {
		var token S
		token, s, more = Next(s)
		if isOne(token) || isRest(token) {
			return true
		}
	}
	return false
}

// Tokens returns how many tokens s has.
func Tokens(s []byte) int { return bytes.Count(s, []byte{separator}) + 1 }

// Matches reports whether pattern covers every subject that s stands for. S may
// itself have wildcards: `foo.*` is covered by `foo.>`, not by `foo.bar`.
func Matches[S ~string | ~[]byte, P ~string | ~[]byte](s S, pattern P) bool {
	for {
		want, patternTail, patternMore := Next(pattern)
		have, tail, more := Next(s)
		switch {
		case isRest(want):
			return true
		case isRest(have):
			return false
		case isOne(want):
		case isOne(have) || string(have) != string(want):
			return false
		}
		if !more || !patternMore {
			return more == patternMore
		}
		s, pattern = tail, patternTail
	}
}

// MatchesLiteral reports whether pattern matches the subject of a message. There
// a `*` or `>` in s is a token like any other: `foo.>` is matched by `foo.*`.
func MatchesLiteral[S ~string | ~[]byte, P ~string | ~[]byte](s S, pattern P) bool {
	for {
		want, patternTail, patternMore := Next(pattern)
		have, tail, more := Next(s)
		switch {
		case isRest(want):
			return true
		case !isOne(want) && string(have) != string(want):
			return false
		case !more || !patternMore:
			return more == patternMore
		}
		s, pattern = tail, patternTail
	}
}

// Overlaps reports whether there is a subject that both patterns match.
func Overlaps[A ~string | ~[]byte, B ~string | ~[]byte](a A, b B) bool {
	for {
		x, aTail, aMore := Next(a)
		y, bTail, bMore := Next(b)
		if isRest(x) || isRest(y) {
			return true
		}
		if !isOne(x) && !isOne(y) && string(x) != string(y) {
			return false
		}
		if !aMore || !bMore {
			return aMore == bMore
		}
		a, b = aTail, bTail
	}
}

func isOne[S ~string | ~[]byte](token S) bool  { return len(token) == 1 && token[0] == one }
func isRest[S ~string | ~[]byte](token S) bool { return len(token) == 1 && token[0] == rest }

// IsOne reports whether a token is `*`.
func IsOne[S ~string | ~[]byte](token S) bool { return isOne(token) }

// IsRest reports whether a token is `>`.
func IsRest[S ~string | ~[]byte](token S) bool { return isRest(token) }
