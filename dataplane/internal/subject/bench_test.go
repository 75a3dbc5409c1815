package subject_test

import (
	"testing"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// Benchmarks of what is asked for every message or every subscription.
func BenchmarkSubject(b *testing.B) {
	s, pattern := []byte("orders.eu.new.4711"), "orders.*.new.>"
	for name, ask := range map[string]func() bool{
		"Valid":          func() bool { return subject.Valid(s) },
		"ValidLiteral":   func() bool { return subject.ValidLiteral(s) },
		"HasWildcard":    func() bool { return !subject.HasWildcard(s) },
		"Matches":        func() bool { return subject.Matches(s, pattern) },
		"MatchesLiteral": func() bool { return subject.MatchesLiteral(s, pattern) },
		"Overlaps":       func() bool { return subject.Overlaps(pattern, "*.eu.*.4711") },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !ask() {
					b.Fatal("the answer is wrong")
				}
			}
		})
	}
}
