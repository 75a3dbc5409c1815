package conformance

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// TestTextIsReadBack writes scripts and wants to read the same again.
func TestTextIsReadBack(t *testing.T) {
	verbs := []Step{
		{Conn: "a", Verb: VerbSync, Times: 0},
		{Conn: "b", Verb: VerbConnect, Text: `"verbose":true`},
		{Conn: "a", Verb: VerbGone},
		{Verb: VerbPause, Text: "5ms"},
	}
	rapid.Check(t, func(t *rapid.T) {
		want := &Script{Name: "f/one-two", Needs: []string{"config"}, Tags: []string{TagLoose}, Config: "a: 1\nb {\n  c: 2\n}\n"}
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "send") {
				data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
				want.Steps = append(want.Steps, Step{Conn: "c", Verb: VerbSend, Text: Escape(string(data)), Times: rapid.IntRange(1, 3).Draw(t, "times")})
				continue
			}
			want.Steps = append(want.Steps, rapid.SampledFrom(verbs).Draw(t, "verb"))
		}
		got, err := ParseFile("f", want.Text())
		if err != nil {
			t.Fatalf("%v in\n%s", err, want.Text())
		}
		if d := cmp.Diff([]*Script{want}, got, cmpopts.IgnoreFields(Step{}, "Line"), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

// TestEscapeIsUndone wants every byte back.
func TestEscapeIsUndone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		got, err := unescape(Escape(string(want)))
		if err != nil || string(got) != string(want) {
			t.Fatalf("%q became %q, %v", want, got, err)
		}
	})
}
