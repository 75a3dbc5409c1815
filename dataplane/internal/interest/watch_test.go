package interest_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/interest"
)

// told is what a peer believes that hears every change.
type told map[[2]string]int

// Interest keeps what the index says.
func (o told) Interest(subject, queue string, members int) {
	if members == 0 {
		delete(o, [2]string{subject, queue})
		return
	}
	o[[2]string{subject, queue}] = members
}

// A watcher knows at every moment which local interest there is, whenever it
// began to watch, and never hears of other brokers' subscriptions.
func TestWatcherKnowsLocalInterest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := interest.New()
		var late *told
		early := told{}
		x.Watch(early, func(func(func(string, string, int))) {})
		var all []*interest.Sub
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(all) > 0 && rapid.Bool().Draw(t, "remove") {
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				if !x.Remove(all[i]) {
					t.Fatal("a subscription is not there")
				}
				all = slices.Delete(all, i, i+1)
			} else {
				subject := rapid.SampledFrom([]string{"a", "a.b", "a.*", "a.>", "*.b"}).Draw(t, "subject")
				queue := rapid.SampledFrom([]string{"", "", "p", "q"}).Draw(t, "queue")
				sub := interest.NewSub(nil, subject, queue, "")
				if rapid.IntRange(0, 2).Draw(t, "remote") == 0 {
					sub = interest.NewRemote(nil, subject, queue)
				}
				x.Add(sub)
				all = append(all, sub)
			}
			members := map[[2]string]int{}
			local := int64(0)
			for _, sub := range all {
				if !sub.Remote() {
					members[[2]string{sub.Subject(), sub.Queue()}]++
					local++
				}
			}
			if x.Count() != local {
				t.Fatalf("count is %d, want %d", x.Count(), local)
			}
			check(t, "early", early, members)
			late = &told{}
			x.Watch(early, func(each func(func(string, string, int))) { each(late.Interest) })
			check(t, "late", *late, members)
		}
		for _, sub := range all {
			x.Remove(sub)
		}
		if !x.Bare() || len(early) > 0 {
			t.Fatalf("something is left: %v", early)
		}
	})
}

// check compares what a watcher knows: of plain subscriptions only that there
// are some, of groups how many members they have.
func check(t *rapid.T, who string, got told, members map[[2]string]int) {
	want := maps.Clone(members)
	have := maps.Clone(got)
	for _, m := range []map[[2]string]int{want, have} {
		for k := range m {
			if k[1] == "" {
				m[k] = 1
			}
		}
	}
	if !maps.Equal(have, want) {
		t.Fatalf("%s watcher knows %v, want %v", who, have, want)
	}
}

func TestRemoteMembersAreChosenByWeight(t *testing.T) {
	x := interest.New()
	weights := map[string]int32{"foo": 1, "f*": 1, "*": 3, ">": 6}
	for subject, weight := range weights {
		sub := interest.NewRemote(nil, subject, "q")
		sub.Weight.Store(weight)
		x.Add(sub)
	}
	local := interest.NewSub(nil, "foo", "q", "")
	x.Add(local)
	var r interest.Result
	x.Match([]byte("foo"), &r)
	g := r.Groups()[0]
	all := func(*interest.Sub) bool { return true }
	if got := g.Pick(rand.Uint64(), all); got != local {
		t.Errorf("local member is %v", got)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 10000
	got := map[string]int{}
	for range n {
		got[g.PickRemote(rng.Uint64(), all).Subject()]++
	}
	for subject, share := range map[string]int{"foo": n / 10, "*": 3 * n / 10, ">": 6 * n / 10} {
		if c := got[subject]; c < share*8/10 || c > share*12/10 {
			t.Errorf("%s was chosen %d times of %d, its share is %d", subject, c, n, share)
		}
	}
	for _, only := range []string{"foo", "*", ">"} {
		for i := range uint64(20) {
			sub := g.PickRemote(i, func(s *interest.Sub) bool { return s.Subject() == only })
			if sub == nil || sub.Subject() != only {
				t.Errorf("of those that are willing %v was chosen, want %s", sub, only)
			}
		}
	}
	if sub := g.PickRemote(7, func(*interest.Sub) bool { return false }); sub != nil {
		t.Errorf("nobody is willing, and %s was chosen", fmt.Sprint(sub.Subject()))
	}
}
