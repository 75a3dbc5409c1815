package permission_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/permission"
)

// Sets are one if and only if their rules are the same.
func TestSameRulesAreShared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.OneOf(rapid.Just([]string(nil)), rapid.SliceOfN(rapid.SampledFrom([]string{"a", "a.>", "a q", `"`, `";"`, "-", ""}), 0, 3))
		draw := func() *permission.Set {
			p := &jwt.Permissions{
				Pub: jwt.Permission{Allow: list.Draw(t, "pub allow"), Deny: list.Draw(t, "pub deny")},
				Sub: jwt.Permission{Allow: list.Draw(t, "sub allow"), Deny: list.Draw(t, "sub deny")},
			}
			if rapid.Bool().Draw(t, "answers") {
				p.Resp = &jwt.ResponsePermission{MaxMsgs: rapid.IntRange(-1, 2).Draw(t, "most"), Expires: time.Duration(rapid.IntRange(-1, 2).Draw(t, "expires"))}
			}
			return permission.New(p)
		}
		a, b := draw(), draw()
		if (a == b) != a.Equal(b) {
			t.Errorf("one: %v, the same rules: %v\n%+v\n%+v", a == b, a.Equal(b), a, b)
		}
	})
}

// What nobody uses any more is not kept.
func TestUnusedRulesAreForgotten(t *testing.T) {
	kept := make([]*permission.Set, 100)
	for i := range kept {
		kept[i] = set([]string{fmt.Sprintf("forgotten.%d", i)}, nil, nil, nil)
	}
	all := permission.Shared() // those of other tests, too, which may be forgotten at any time
	if all < len(kept) {
		t.Errorf("%d sets are shared, want %d at least", all, len(kept))
	}
	runtime.KeepAlive(kept)
	clear(kept)
	deadline := time.Now().Add(time.Minute)
	for permission.Shared() > all-len(kept) {
		if time.Now().After(deadline) {
			t.Fatalf("%d sets are shared, there were %d with %d that nobody uses any more", permission.Shared(), all, len(kept))
		}
		runtime.GC()
	}
}
