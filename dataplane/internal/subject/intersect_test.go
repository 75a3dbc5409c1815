package subject_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// The intersection of two patterns matches a subject if and only if both do.
func TestIntersectionIsWhatBothMatch(t *testing.T) {
	pattern := rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*"}), 0, 3).Draw(t, "tokens")
		return strings.Join(append(parts, rapid.SampledFrom([]string{"a", "b", "*", ">"}).Draw(t, "last")), ".")
	})
	literal := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 1, 5)
	rapid.Check(t, func(t *rapid.T) {
		a, b := pattern.Draw(t, "a"), pattern.Draw(t, "b")
		both, ok := subject.Intersection(a, b)
		if ok != subject.Overlaps(a, b) {
			t.Fatalf("%q and %q: %q, %v", a, b, both, ok)
		}
		for range 10 {
			s := strings.Join(literal.Draw(t, "subject"), ".")
			if got, want := ok && subject.Matches(s, both), subject.Matches(s, a) && subject.Matches(s, b); got != want {
				t.Fatalf("%q and %q: %q, which matches %q: %v, want %v", a, b, both, s, got, want)
			}
		}
	})
}
