package random

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// source draws. It is used by one goroutine.
type source struct{ r *rand.Rand }

// newSource draws the same for the same two numbers.
func newSource(seed, stream uint64) source {
	return source{rand.New(rand.NewPCG(seed, stream))} //nolint:gosec // to be repeated, not to be secret
}

// chance is true in so many of a hundred cases.
func (d source) chance(percent int) bool { return d.r.IntN(100) < percent }

// below draws a number from 0 to n-1.
func (d source) below(n int) int { return d.r.IntN(n) }

// between draws a number from low to high.
func (d source) between(low, high int) int { return low + d.r.IntN(high-low+1) }

// one draws one of the words.
func (d source) one(of ...string) string { return of[d.r.IntN(len(of))] }

// some draws so many of the words, without repeating one; all if there are fewer.
func (d source) some(n int, of []string) []string {
	var out []string
	for _, i := range d.r.Perm(len(of)) {
		if len(out) == n {
			break
		}
		out = append(out, of[i])
	}
	return out
}

// weighted draws an index, each as often as its weight says.
func (d source) weighted(weights ...int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	at := d.r.IntN(sum)
	for i, w := range weights {
		if at -= w; at < 0 {
			return i
		}
	}
	return len(weights) - 1
}

// filled replaces the wildcards of a filter, so that what comes out is matched by it.
func (d source) filled(filter string) string {
	tokens := strings.Split(filter, ".")
	for i, t := range tokens {
		switch t {
		case "*":
			tokens[i] = d.one("a", "b", "x", "one")
		case ">":
			tokens[i] = d.one("a", "x", "a.b", "x.y.z")
		}
	}
	return strings.Join(tokens, ".")
}

// quoted writes a list of a configuration.
func quoted(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", w)
	}
	return "[" + b.String() + "]"
}
