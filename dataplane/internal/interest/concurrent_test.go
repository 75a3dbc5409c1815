package interest_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/interest"
)

// Readers beside a writer: who was there all the time is found in every match,
// and nobody is found twice.
func TestReadersBesideAWriter(t *testing.T) {
	x := interest.New()
	subjects := []string{"a.b", "a.*", "a.>", "*.b", ">"}
	var stay []*interest.Sub
	settle := func(i int) {
		s := interest.NewSub(nil, subjects[i%len(subjects)], []string{"", "q"}[i/len(subjects)%2], "stays")
		x.Add(s)
		stay = append(stay, s)
	}
	// Those that stay lie among those that go.
	rng := rand.New(rand.NewPCG(1, 2))
	var going []*interest.Sub
	for i := range 20 {
		for range 10 {
			going = append(going, visitor(x, rng, subjects))
		}
		settle(i)
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer done.Store(true)
	var matches atomic.Int64
	for range 3 {
		wg.Go(func() {
			var r interest.Result
			for !done.Load() {
				checkMatch(t, x, &r, stay)
				matches.Add(1)
			}
		})
	}
	for round := 0; (round < 200 || matches.Load() < 500) && !t.Failed(); round++ {
		for _, s := range going {
			x.Remove(s)
		}
		going = going[:0]
		for range rng.IntN(300) {
			going = append(going, visitor(x, rng, subjects))
		}
	}
}

func visitor(x *interest.Index, rng *rand.Rand, subjects []string) *interest.Sub {
	subject := subjects[rng.IntN(len(subjects))]
	if rng.IntN(4) == 0 {
		subject = fmt.Sprintf("a.%d.*", rng.IntN(1000)) // to move the tables, too
	}
	s := interest.NewSub(nil, subject, []string{"", "q", "other"}[rng.IntN(3)], "goes")
	x.Add(s)
	return s
}

func checkMatch(t *testing.T, x *interest.Index, r *interest.Result, stay []*interest.Sub) {
	plain, groups := found(x, r, "a.b")
	seen := map[*interest.Sub]int{}
	for _, s := range plain {
		seen[s]++
	}
	for _, g := range groups {
		for _, s := range g {
			seen[s]++
		}
	}
	for s, n := range seen {
		if n > 1 {
			t.Errorf("%q %q found %d times", s.Subject(), s.SID(), n)
		}
	}
	for _, s := range stay {
		if seen[s] == 0 {
			t.Errorf("%q in group %q was there all the time and not found", s.Subject(), s.Queue())
		}
	}
}

// A member that is there all the time is picked even while the group's array is
// being moved under the one who picks.
func TestPickWhileTheGroupMoves(t *testing.T) {
	x := interest.New()
	var others []*interest.Sub
	for i := range 19 {
		s := interest.NewSub(nil, "a", "q", fmt.Sprint(i))
		x.Add(s)
		others = append(others, s)
	}
	stays := interest.NewSub(nil, "a", "q", "stays")
	x.Add(stays)
	var r interest.Result
	x.Match([]byte("a"), &r)
	asked := 0
	got := r.Groups()[0].Pick(0, func(s *interest.Sub) bool {
		if asked++; asked == 5 {
			for _, o := range others {
				x.Remove(o) // moves the one that stays to the front
			}
		}
		return s == stays
	})
	if got != stays {
		t.Errorf("Pick = %v, want the member that stayed", got)
	}
}

func BenchmarkMatch(b *testing.B) {
	bench := func(name string, subjects []string, probes int, probe func(int) string) {
		b.Run(name, func(b *testing.B) {
			x := interest.New()
			for _, s := range subjects {
				x.Add(interest.NewSub(nil, s, "", ""))
			}
			keys := make([][]byte, probes)
			for i := range keys {
				keys[i] = []byte(probe(i))
			}
			var r interest.Result
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				x.Match(keys[i%probes], &r)
				i++
			}
		})
	}
	literals := make([]string, 1_000_000)
	for i := range literals {
		literals[i] = fmt.Sprintf("device.%d.telemetry", i)
	}
	bench("1M-literals", literals, 1<<16, func(i int) string { return literals[i*15%len(literals)] })
	wild := make([]string, 0, 10_000)
	for i := range 10_000 {
		wild = append(wild, fmt.Sprintf("device.%d.*", i))
	}
	wild = append(wild, "device.>", "*.*.alarm", ">")
	bench("wildcards", wild, 1<<12, func(i int) string { return fmt.Sprintf("device.%d.alarm", i*3) })
}

func BenchmarkChurn(b *testing.B) {
	for _, s := range []string{"a.b", "a.*.c"} {
		b.Run(s, func(b *testing.B) {
			x := interest.New()
			for range 1000 {
				x.Add(interest.NewSub(nil, s, "", ""))
			}
			sub := interest.NewSub(nil, s, "", "")
			b.ReportAllocs()
			for b.Loop() {
				x.Add(sub)
				x.Remove(sub)
			}
		})
	}
}
