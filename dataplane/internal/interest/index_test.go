package interest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

// scan is the model: a list of subscriptions, looked through one by one.
type scan []*interest.Sub

func (s scan) match(literal string) (plain []*interest.Sub, groups map[string][]*interest.Sub) {
	groups = map[string][]*interest.Sub{}
	for _, sub := range s {
		switch {
		case !matches(strings.Split(literal, "."), strings.Split(sub.Subject(), ".")):
		case sub.Queue() == "":
			plain = append(plain, sub)
		default:
			groups[sub.Queue()] = append(groups[sub.Queue()], sub)
		}
	}
	return plain, groups
}

func matches(literal, pattern []string) bool {
	if slices.Contains(literal, "") {
		return false
	}
	for i, p := range pattern {
		switch {
		case p == ">":
			return i < len(literal)
		case i >= len(literal) || p != "*" && p != literal[i]:
			return false
		}
	}
	return len(literal) == len(pattern)
}

// found returns what the index finds.
func found(x *interest.Index, r *interest.Result, literal string) (plain []*interest.Sub, groups map[string][]*interest.Sub) {
	x.Match([]byte(literal), r)
	for i := range r.Plain() {
		subs := r.PlainAt(i)
		for j := range subs {
			if sub := subs[j].Load(); sub != nil {
				plain = append(plain, sub)
			}
		}
	}
	groups = map[string][]*interest.Sub{}
	for _, g := range r.Groups() {
		g.Pick(uint64(len(literal))*7, func(sub *interest.Sub) bool {
			groups[g.Name] = append(groups[g.Name], sub)
			return false
		})
	}
	return plain, groups
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func compare(t fataler, x *interest.Index, r *interest.Result, model scan, literal string) {
	t.Helper()
	gotPlain, gotGroups := found(x, r, literal)
	wantPlain, wantGroups := model.match(literal)
	if !same(gotPlain, wantPlain) {
		t.Fatalf("%q: plain %v, want %v", literal, names(gotPlain), names(wantPlain))
	}
	if len(gotGroups) != len(wantGroups) {
		t.Fatalf("%q: groups %v, want %v", literal, gotGroups, wantGroups)
	}
	for name, want := range wantGroups {
		if !same(gotGroups[name], want) {
			t.Fatalf("%q: group %q %v, want %v", literal, name, names(gotGroups[name]), names(want))
		}
	}
	if r.Empty() && len(wantPlain)+len(wantGroups) > 0 {
		t.Fatalf("%q: Empty = true", literal)
	}
}

// same compares as sets with counts: nobody twice, nobody missing.
func same(a, b []*interest.Sub) bool {
	count := map[*interest.Sub]int{}
	for _, s := range a {
		count[s]++
	}
	for _, s := range b {
		count[s]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func names(subs []*interest.Sub) (out []string) {
	for _, s := range subs {
		out = append(out, s.Subject()+s.SID())
	}
	return out
}

var (
	tokens = []string{"a", "b", "c", "*", "a"}
	last   = []string{"a", "b", "c", "*", ">"}
	queues = []string{"", "", "q", "r"}
	probes = []string{"a", "b", "c", "d", "a.a", "a.b", "b.a", "d.d", "a.b.c", "c.b.a", "a.a.a.a", "d.a.b.c", "a.b.c.d.a", "", ".", "a.", ".a", "a..b", "a*", "*", ">"}
)

// draw makes a subscription.
func draw(t *rapid.T) *interest.Sub {
	parts := rapid.SliceOfN(rapid.SampledFrom(tokens), 0, 3).Draw(t, "tokens")
	s := strings.Join(append(parts, rapid.SampledFrom(last).Draw(t, "last")), ".")
	return interest.NewSub(nil, s, rapid.SampledFrom(queues).Draw(t, "queue"), fmt.Sprintf(" %d ", rapid.Int().Draw(t, "sid")))
}

// TestIndexIsALinearScan adds and removes at random, and finds what a scan finds.
func TestIndexIsALinearScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := interest.New()
		var model scan
		var r interest.Result
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				sub, before := draw(t), x.Version()
				if !x.Add(sub) {
					t.Fatalf("Add(%q) = false", sub.Subject())
				}
				if x.Version() == before {
					t.Fatalf("Add(%q) left the version as it was", sub.Subject())
				}
				model = append(model, sub)
			},
			"addMany": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "n") {
					sub := draw(t)
					x.Add(sub)
					model = append(model, sub)
				}
			},
			"remove": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip("empty")
				}
				model = removeOne(t, x, model)
			},
			"removeMany": func(t *rapid.T) {
				for range rapid.IntRange(0, len(model)).Draw(t, "n") {
					model = removeOne(t, x, model)
				}
			},
			"": func(t *rapid.T) {
				if int(x.Count()) != len(model) {
					t.Fatalf("Count = %d, want %d", x.Count(), len(model))
				}
				for _, p := range probes {
					compare(t, x, &r, model, p)
				}
				var all scan
				x.Each(func(s *interest.Sub) bool { all = append(all, s); return true })
				if !same(all, model) {
					t.Fatalf("Each visits %v, want %v", names(all), names(model))
				}
			},
		})
		for len(model) > 0 {
			model = removeOne(t, x, model)
		}
		if !x.Bare() {
			t.Fatalf("an index that everybody left is not empty")
		}
	})
}

func removeOne(t *rapid.T, x *interest.Index, model scan) scan {
	i, before := rapid.IntRange(0, len(model)-1).Draw(t, "i"), x.Version()
	if !x.Remove(model[i]) {
		t.Fatalf("Remove(%q) = false", model[i].Subject())
	}
	if x.Version() == before {
		t.Fatalf("Remove(%q) left the version as it was", model[i].Subject())
	}
	if x.Remove(model[i]) {
		t.Fatalf("a second Remove(%q) = true", model[i].Subject())
	}
	return slices.Delete(slices.Clone(model), i, i+1)
}

// FuzzIndex does the same with bytes for choices and any text for subjects.
func FuzzIndex(f *testing.F) {
	f.Add("a.b|a.*|a.>|*.b|>", []byte{0, 1, 2, 3, 4, 0x81, 0x80, 5}, "a.b")
	f.Add("a|a|a|a|a|a|a|a|a|a|a|a", []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86}, "a")
	f.Add("|.|a..b|*.>.a|**", []byte{0, 1, 2, 3, 4}, "**")
	f.Fuzz(func(t *testing.T, subjects string, steps []byte, probe string) {
		names := strings.Split(subjects, "|")
		x := interest.New()
		var model scan
		var r interest.Result
		for _, step := range steps {
			if step < 0x80 {
				sub := interest.NewSub(nil, names[int(step)%len(names)], []string{"", "q"}[step>>6], "")
				if x.Add(sub) {
					model = append(model, sub)
				}
			} else if len(model) > 0 {
				i := int(step&0x7f) % len(model)
				if !x.Remove(model[i]) {
					t.Fatal("not removed")
				}
				model = slices.Delete(model, i, i+1)
			}
			compare(t, x, &r, model, probe)
			compare(t, x, &r, model, names[int(step)%len(names)])
		}
		for _, sub := range model {
			x.Remove(sub)
		}
		if !x.Bare() {
			t.Fatal("not empty after all were removed")
		}
	})
}

func TestInvalidSubjectsAreRefused(t *testing.T) {
	x := interest.New()
	for _, s := range []string{"", ".", "a.", ".a", "a..b", ">.a", "a.>.b"} {
		if x.Add(interest.NewSub(nil, s, "", "")) {
			t.Errorf("Add(%q) = true", s)
		}
	}
	if x.Count() != 0 || !x.Bare() {
		t.Error("something was left behind")
	}
	if x.Remove(interest.NewSub(nil, "a", "", "")) {
		t.Error("removed what was never in")
	}
}

func TestPickGoesRound(t *testing.T) {
	x := interest.New()
	var subs []*interest.Sub
	for i := range 12 {
		s := interest.NewSub(nil, []string{"a", "*", ">"}[i%3], "q", fmt.Sprint(i))
		x.Add(s)
		subs = append(subs, s)
	}
	x.Remove(subs[3])
	var r interest.Result
	x.Match([]byte("a"), &r)
	if len(r.Groups()) != 1 {
		t.Fatalf("%d groups, want one", len(r.Groups()))
	}
	g := r.Groups()[0]
	hits := map[*interest.Sub]int{}
	for i := range 1200 {
		hits[g.Pick(uint64(i), func(*interest.Sub) bool { return true })]++
	}
	if len(hits) != 11 || hits[subs[3]] != 0 || hits[nil] != 0 {
		t.Errorf("%d members were picked: %v", len(hits), hits)
	}
	want := subs[7]
	if got := g.Pick(5, func(s *interest.Sub) bool { return s == want }); got != want {
		t.Error("the only acceptable member was not picked")
	}
	if g.Pick(5, func(*interest.Sub) bool { return false }) != nil {
		t.Error("somebody was picked whom nobody accepts")
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	x := interest.New()
	for _, s := range []string{"a.b.c", "a.*.c", "a.>", ">", "*.b.*", "a.b.*"} {
		for _, q := range []string{"", "q", "r"} {
			x.Add(interest.NewSub(nil, s, q, ""))
		}
	}
	var r interest.Result
	s := []byte("a.b.c")
	x.Match(s, &r)
	if n := testing.AllocsPerRun(100, func() {
		x.Match(s, &r)
		for i := range r.Plain() {
			if len(r.PlainAt(i)) != 1 {
				t.Fatal("not matched")
			}
		}
		for i := range r.Groups() {
			if r.Groups()[i].Pick(3, func(*interest.Sub) bool { return true }) == nil {
				t.Fatal("nobody picked")
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
