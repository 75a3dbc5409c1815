package transform_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/transform"
)

// A strict transform and its reverse undo each other, whatever the order of the
// wildcards.
func TestReverseUndoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 4).Draw(t, "wildcards")
		source, dest := []string{"in"}, []string{"out", "there"}
		for _, i := range rapid.Permutation([]int{1, 2, 3, 4}[:n]).Draw(t, "order") {
			source = append(source, "*")
			dest = append(dest, fmt.Sprintf("$%d", i))
		}
		if rapid.Bool().Draw(t, "open") {
			source, dest = append(source, ">"), append(dest, ">")
		}
		forth, err := transform.NewStrict(strings.Join(source, "."), strings.Join(dest, "."))
		if err != nil {
			t.Fatal(err)
		}
		back, err := forth.Reverse()
		if err != nil {
			t.Fatal(err)
		}
		s := fill(t, forth.Source())
		if got := back.String(forth.String(s)); got != s {
			t.Fatalf("%q became %q and then %q", s, forth.String(s), got)
		}
		if got, want := transform.Pattern(forth.Dest()), back.Source(); got != want {
			t.Fatalf("Pattern = %q, the reverse is from %q", got, want)
		}
	})
}

func TestNumberedAndPattern(t *testing.T) {
	for _, c := range []struct{ in, numbered, pattern string }{
		{"a", "a", "a"},
		{"a.*.b.*", "a.$1.b.$2", "a.*.b.*"},
		{"*.>", "$1.>", "*.>"},
		{"a.$2.$1", "a.$2.$1", "a.*.*"},
		{"a.{{wildcard(2)}}.x", "a.{{wildcard(2)}}.x", "a.*.x"},
		{"$SYS.REQ", "$SYS.REQ", "$SYS.REQ"},
	} {
		if got := transform.Numbered(c.in); got != c.numbered {
			t.Errorf("Numbered(%q) = %q, want %q", c.in, got, c.numbered)
		}
		if got := transform.Pattern(c.in); got != c.pattern {
			t.Errorf("Pattern(%q) = %q, want %q", c.in, got, c.pattern)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	for _, dest := range []string{
		"x.$2.$1", "{{partition(10,1,2)}}", "{{partition(7)}}.z", "{{split(1,-)}}", "{{slicefromleft(1,2)}}", "{{left(1,1)}}.{{right(2,1)}}", "{{random(9)}}",
	} {
		tr, err := transform.New("a.*.*", dest)
		if err != nil {
			t.Fatal(err)
		}
		s, buf := []byte("a.he-l-lo.world"), make([]byte, 0, 128)
		if n := testing.AllocsPerRun(100, func() { buf = tr.Append(buf[:0], s) }); n != 0 {
			t.Errorf("%s: %v allocations", dest, n)
		}
	}
}

func TestRandomStaysBelow(t *testing.T) {
	tr, err := transform.New("a", "b.{{random(3)}}")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 1000 {
		seen[tr.String("a")] = true
	}
	if len(seen) != 3 || !seen["b.0"] || !seen["b.1"] || !seen["b.2"] {
		t.Errorf("got %v", seen)
	}
}
