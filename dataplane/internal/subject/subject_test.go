package subject_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// The models are the definitions, on lists of tokens and by enumeration.

func modelValid(s string) bool {
	tokens := strings.Split(s, ".")
	for i, t := range tokens {
		if t == "" || t == ">" && i != len(tokens)-1 {
			return false
		}
	}
	return true
}

func modelLiteral(s string) bool {
	for _, t := range strings.Split(s, ".") {
		if t == "" || t == "*" || t == ">" {
			return false
		}
	}
	return true
}

func modelHasWildcard(s string) bool {
	tokens := strings.Split(s, ".")
	return slices.Contains(tokens, "*") || slices.Contains(tokens, ">")
}

// matchesLiteral says whether a pattern matches a literal subject.
func matchesLiteral(literal, pattern []string) bool {
	if len(pattern) == 0 {
		return len(literal) == 0
	}
	if pattern[0] == ">" {
		return len(literal) > 0
	}
	return len(literal) > 0 && (pattern[0] == "*" || pattern[0] == literal[0]) && matchesLiteral(literal[1:], pattern[1:])
}

// universe is every literal subject of up to five tokens from an alphabet that
// has one token more than the patterns use. For patterns of up to four tokens
// it tells all sets of subjects apart that can differ.
var universe = enumerate([]string{"a", "b", "c"}, 5)

func enumerate(alphabet []string, depth int) [][]string {
	var all [][]string
	last := [][]string{nil}
	for range depth {
		var next [][]string
		for _, s := range last {
			for _, t := range alphabet {
				next = append(next, append(slices.Clone(s), t))
			}
		}
		all = append(all, next...)
		last = next
	}
	return all
}

// pattern draws a valid subject of up to four tokens.
func pattern(t *rapid.T, label string) string {
	tokens := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*"}), 0, 3).Draw(t, label)
	last := rapid.SampledFrom([]string{"a", "b", "*", ">"}).Draw(t, label+"Last")
	return strings.Join(append(tokens, last), ".")
}

func TestMatchesCoversEverySubject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, p := pattern(t, "s"), pattern(t, "p")
		want := true
		for _, u := range universe {
			if matchesLiteral(u, strings.Split(s, ".")) && !matchesLiteral(u, strings.Split(p, ".")) {
				want = false
				break
			}
		}
		if got := subject.Matches(s, p); got != want {
			t.Errorf("Matches(%q, %q) = %v, want %v", s, p, got, want)
		}
		if got := subject.Matches([]byte(s), p); got != want {
			t.Errorf("Matches of bytes = %v, want %v", got, want)
		}
	})
}

func TestOverlapsIsACommonSubject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := pattern(t, "a"), pattern(t, "b")
		want := slices.ContainsFunc(universe, func(u []string) bool {
			return matchesLiteral(u, strings.Split(a, ".")) && matchesLiteral(u, strings.Split(b, "."))
		})
		if got := subject.Overlaps(a, b); got != want {
			t.Errorf("Overlaps(%q, %q) = %v, want %v", a, b, got, want)
		}
		if got := subject.Overlaps(b, []byte(a)); got != want {
			t.Errorf("Overlaps(%q, %q) = %v, want %v", b, a, got, want)
		}
	})
}

func TestTables(t *testing.T) {
	for s, want := range map[string][3]bool{ // valid, literal, wildcard
		"":       {false, false, false},
		"a":      {true, true, false},
		"a.b":    {true, true, false},
		".a":     {false, false, false},
		"a.":     {false, false, false},
		"a..b":   {false, false, false},
		"*":      {true, false, true},
		">":      {true, false, true},
		"a.*.b":  {true, false, true},
		"a.>":    {true, false, true},
		">.a":    {false, false, true},
		"a.>.b":  {false, false, true},
		"a*":     {true, true, false},
		"a.b>":   {true, true, false},
		"**":     {true, true, false},
		"*.>":    {true, false, true},
		"$SYS.>": {true, false, true},
	} {
		if got := [3]bool{subject.Valid(s), subject.ValidLiteral(s), subject.HasWildcard(s)}; got != want {
			t.Errorf("%q: valid, literal, wildcard = %v, want %v", s, got, want)
		}
	}
	if subject.Matches("a", "a.>") || subject.Overlaps("a", "a.>") {
		t.Error("`>` stands for one token at least")
	}
	if !subject.Matches("a*", "a*") || subject.Matches("ab", "a*") {
		t.Error("`*` within a longer token is an ordinary character")
	}
	if !subject.IsOne("*") || subject.IsOne("**") || !subject.IsRest([]byte(">")) || subject.IsRest("") {
		t.Error("IsOne or IsRest")
	}
}

// FuzzSubject holds the functions to their definitions for any bytes.
func FuzzSubject(f *testing.F) {
	for _, s := range []string{"a.b", "a.*", ">", "a..b", "", ".", "*.>", "a.>.b"} {
		f.Add(s, "a.>")
		f.Add("a.b.c", s)
		f.Add(s, "*")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if got, want := subject.Valid(a), modelValid(a); got != want {
			t.Errorf("Valid(%q) = %v", a, got)
		}
		if got, want := subject.ValidLiteral(a), modelLiteral(a); got != want {
			t.Errorf("ValidLiteral(%q) = %v", a, got)
		}
		if got, want := subject.HasWildcard(a), modelHasWildcard(a); got != want {
			t.Errorf("HasWildcard(%q) = %v", a, got)
		}
		if got, want := subject.Tokens([]byte(a)), len(strings.Split(a, ".")); got != want {
			t.Errorf("Tokens(%q) = %d, want %d", a, got, want)
		}
		var tokens []string
		for token, tail, more := subject.Next(a); ; token, tail, more = subject.Next(tail) {
			if tokens = append(tokens, token); !more {
				break
			}
		}
		if strings.Join(tokens, ".") != a || len(tokens) != len(strings.Split(a, ".")) {
			t.Errorf("Next cuts %q into %q", a, tokens)
		}
		if tokens := strings.Split(a, "."); modelValid(b) && !slices.Contains(tokens, "") {
			if got, want := subject.MatchesLiteral(a, b), matchesLiteral(tokens, strings.Split(b, ".")); got != want {
				t.Errorf("MatchesLiteral(%q, %q) = %v", a, b, got)
			}
		}
		if modelLiteral(a) && modelValid(b) {
			want := matchesLiteral(strings.Split(a, "."), strings.Split(b, "."))
			if subject.Matches(a, b) != want || subject.Overlaps(a, b) != want || subject.Overlaps(b, a) != want {
				t.Errorf("Matches(%q, %q) = %v, Overlaps = %v, %v, want %v", a, b,
					subject.Matches(a, b), subject.Overlaps(a, b), subject.Overlaps(b, a), want)
			}
		}
		if modelValid(a) && modelValid(b) && subject.Matches(a, b) && !subject.Overlaps(a, b) {
			t.Errorf("%q is covered by %q and does not overlap it", a, b)
		}
	})
}

func TestNoAllocation(t *testing.T) {
	s := []byte("a.b.c")
	if n := testing.AllocsPerRun(100, func() {
		if !subject.Matches(s, "a.*.>") || !subject.ValidLiteral(s) || !subject.Overlaps(s, "a.>") {
			t.Fatal("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
