package conn

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/interest"
)

// A subset is a map from ids to subscriptions, whatever comes and goes.
func TestSubsetIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s *subset
		model := map[string]*interest.Sub{}
		sids := rapid.IntRange(1, rapid.SampledFrom([]int{3, 20, 200}).Draw(t, "ids"))
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			sid := strconv.Itoa(sids.Draw(t, "sid"))
			switch sub := model[sid]; {
			case s.get(sid) != sub:
				t.Fatalf("%s: %p is found, want %p", sid, s.get(sid), sub)
			case sub == nil:
				model[sid] = interest.NewSub(nil, "a", "", sid)
				s = s.put(model[sid])
			default:
				if _, was := s.remove(interest.NewSub(nil, "a", "", sid)); was {
					t.Fatalf("%s: another one with its id was taken out", sid)
				}
				var was bool
				if s, was = s.remove(sub); !was {
					t.Fatalf("%s: it was not in", sid)
				}
				delete(model, sid)
			}
			checkSubset(t, s, model)
		}
	})
}

func checkSubset(t *rapid.T, s *subset, model map[string]*interest.Sub) {
	if s.len() != len(model) || (s == nil) != (len(model) == 0) {
		t.Fatalf("%d are in, want %d", s.len(), len(model))
	}
	have := map[string]*interest.Sub{}
	for sub := range s.all() {
		have[sub.SID()] = sub
	}
	if !maps.Equal(have, model) {
		t.Fatalf("%v, want %v", slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(model)))
	}
	for _, limit := range []int{-1, 0, 1, len(model) + 1} {
		want := len(model)
		if limit >= 0 {
			want = min(want, limit)
		}
		if n := len(s.list(limit)); n != want {
			t.Fatalf("%d listed of %d with the limit %d", n, len(model), limit)
		}
	}
}
