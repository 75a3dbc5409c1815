package transform_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/transform"
)

var sourceTokens = rapid.SampledFrom([]string{"a", "foo", "*", "*", "*", "b-c", "$1", "x*"})

func drawSource(t *rapid.T) string {
	tokens := rapid.SliceOfN(sourceTokens, 1, 4).Draw(t, "source")
	if rapid.Bool().Draw(t, "open") {
		tokens = append(tokens, ">")
	}
	return strings.Join(tokens, ".")
}

var numbers = rapid.SampledFrom([]string{"1", "2", "3", "0", "4", " 2 ", "-1", "+1", "x", "", "10", "2147483647", "2147483648", "-3"})

func drawCall(t *rapid.T) string {
	name := rapid.SampledFrom([]string{
		"wildcard", "Wildcard", "partition", "Partition", "splitFromLeft", "SplitFromRight", "splitfromright", "sliceFromLeft",
		"SliceFromRight", "split", "Split", "left", "Left", "right", "Right", "WILDCARD", "nothing", "xleft",
	}).Draw(t, "name")
	args := rapid.SliceOfN(numbers, 0, 3).Draw(t, "args")
	if name == "split" || name == "Split" {
		args = append(args, rapid.SampledFrom([]string{"-", "--", "", "a", " -"}).Draw(t, "separator"))
	}
	pad := rapid.SampledFrom([]string{"", "", " "}).Draw(t, "pad")
	return "{{" + pad + name + pad + "(" + strings.Join(args, rapid.SampledFrom([]string{",", ", "}).Draw(t, "comma")) + ")" + pad + "}}"
}

func drawDest(t *rapid.T, open bool) string {
	n := rapid.IntRange(1, 4).Draw(t, "tokens")
	var tokens []string
	for range n {
		switch rapid.IntRange(0, 5).Draw(t, "what") {
		case 0:
			tokens = append(tokens, rapid.SampledFrom([]string{"bar", "a", "$", "$x", "{{}}", "{{ }}", "{{x", "a b"}).Draw(t, "text"))
		case 1, 2:
			tokens = append(tokens, rapid.SampledFrom([]string{"$1", "$2", "$3", "$0", "$4", "$-1"}).Draw(t, "number"))
		default:
			tokens = append(tokens, drawCall(t))
		}
	}
	if open {
		tokens = append(tokens, ">")
	}
	return strings.Join(tokens, ".")
}

// fill makes a subject that a source matches.
func fill(t *rapid.T, source string) string {
	word := rapid.SampledFrom([]string{"x", "hello", "a-b", "-a", "a-", "--", "a--b-c", "123456789", "héé", "-"})
	var out []string
	for token := range strings.SplitSeq(source, ".") {
		switch token {
		case "*":
			out = append(out, word.Draw(t, "word"))
		case ">":
			out = append(out, rapid.SliceOfN(word, 1, 3).Draw(t, "rest")...)
		default:
			out = append(out, token)
		}
	}
	return strings.Join(out, ".")
}

// What is accepted, the error's words and what a subject becomes are
// nats-server's.
func TestTransformsAreStocks(t *testing.T) {
	for _, strict := range []bool{false, true} {
		rapid.Check(t, func(t *rapid.T) {
			source := drawSource(t)
			open := strings.HasSuffix(source, ">")
			if rapid.IntRange(0, 9).Draw(t, "misfit") == 0 {
				open = !open
			}
			dest := drawDest(t, open)
			ours, err := transform.New(source, dest)
			theirs, stockErr := server.NewSubjectTransform(source, dest)
			if strict {
				ours, err = transform.NewStrict(source, dest)
				theirs, stockErr = server.NewSubjectTransformStrict(source, dest)
			}
			if (err == nil) != (stockErr == nil) {
				t.Fatalf("%q to %q: %v, stock: %v", source, dest, err, stockErr)
			}
			if err != nil {
				if err.Error() != stockErr.Error() {
					t.Fatalf("%q to %q: %q, stock: %q", source, dest, err, stockErr)
				}
				return
			}
			for range 3 {
				s := fill(t, source)
				if got, want := ours.String(s), theirs.TransformSubject(s); got != want {
					t.Fatalf("%q to %q: %q becomes %q, stock: %q", source, dest, s, got, want)
				}
			}
		})
	}
}

// Which literal subjects a transform applies to is nats-server's, too.
func TestMatchesAreStocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := drawSource(t)
		dest := "z"
		if strings.HasSuffix(source, ">") {
			dest = "z.>"
		}
		ours, err := transform.New(source, dest)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := server.NewSubjectTransform(source, dest)
		if err != nil {
			t.Fatal(err)
		}
		s := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "foo", "b-c", "x", "", "*", ">"}), 1, 5).Draw(t, "subject"), ".")
		_, err = theirs.Match(s)
		if got, want := ours.Matches([]byte(s)), err == nil; got != want {
			t.Fatalf("%q matches %q: %v, stock: %v", source, s, got, want)
		}
	})
}

func TestDestinationsOfMappingsAreStocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := drawSource(t)
		dest := drawDest(t, strings.HasSuffix(source, ">"))
		_, err := transform.NewDestination(source, dest)
		stockErr := server.ValidateMapping(source, dest)
		if (err == nil) != (stockErr == nil) || err != nil && err.Error() != stockErr.Error() {
			t.Fatalf("%q to %q: %v, stock: %v", source, dest, err, stockErr)
		}
	})
}
