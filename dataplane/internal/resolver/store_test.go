package resolver_test

import (
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
	"github.com/coveymq/covey/dataplane/internal/resolver"
)

// Two stores with the same claims have the same hash, however they got them, and
// with other claims another one; and a store that is opened anew is the same.
func TestHashOfStores(t *testing.T) {
	op := operatortest.New(t)
	var keys []string
	var tokens [][2]string
	for range 3 {
		a := op.Account("a")
		first := a.Token()
		a.Claims.Limits.Conn = 3
		keys, tokens = append(keys, a.Key), append(tokens, [2]string{first, a.Token()})
	}
	root, runs := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		path := filepath.Join(root, strconv.Itoa(runs))
		r, err := resolver.NewDir(resolver.Dir{Path: path, Removal: resolver.Erase})
		must(t, err)
		have := map[string]string{}
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			i := rapid.IntRange(0, 2).Draw(t, "account")
			key, token := keys[i], tokens[i][rapid.IntRange(0, 1).Draw(t, "which")]
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				_, err = r.Store().Save(key, token)
				have[key] = token
			case 1:
				err = r.Store().Remove(key)
				delete(have, key)
			case 2:
				err = r.Preload(nil) // reads the directory anew
			}
			must(t, err)
		}
		other, err := resolver.NewDir(resolver.Dir{Path: filepath.Join(path, "other")})
		must(t, err)
		for key, token := range have {
			_, err := other.Store().Merge(key, token)
			must(t, err)
		}
		again, err := resolver.NewDir(resolver.Dir{Path: path})
		must(t, err)
		if r.Store().Hash() != other.Store().Hash() || r.Store().Hash() != again.Store().Hash() || len(r.Store().Keys()) != len(have) {
			t.Errorf("the store has %v, not %v, or another hash", r.Store().Keys(), have)
		}
		if len(have) > 0 != (r.Store().Hash() != [32]byte{}) {
			t.Error("the hash does not tell whether there are claims")
		}
	})
}

func must(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// Merge keeps what is newer, Save takes what it is told.
func TestOlderClaims(t *testing.T) {
	a := operatortest.New(t).Account("a")
	token := func(at time.Time) string {
		a.Claims.IssuedAt = at.Unix()
		return a.Token()
	}
	old := token(time.Now())
	<-time.After(1100 * time.Millisecond) // claims are dated in seconds, by who signs them
	recent := token(time.Now())
	s := open(t, resolver.Dir{Path: t.TempDir()}).Store()
	for i, step := range []struct {
		do      func(string, string) (bool, error)
		token   string
		changed bool
		then    string
	}{
		{s.Save, recent, true, recent}, {s.Save, recent, false, recent}, {s.Merge, old, false, recent}, {s.Save, old, true, old}, {s.Merge, recent, true, recent},
	} {
		changed, err := step.do(a.Key, step.token)
		found, findErr := s.Find(a.Key)
		if err != nil || findErr != nil || changed != step.changed || found != step.then {
			t.Errorf("step %d: changed=%v, %v, %v", i, changed, err, findErr)
		}
	}
	if err := s.Remove(a.Key); !errors.Is(err, resolver.ErrNoRemoval) {
		t.Errorf("removed: %v", err)
	}
	if _, err := s.Find("nonsense"); !errors.Is(err, account.ErrUnknown) {
		t.Error(err)
	}
	if _, err := s.Save("../x", recent); err == nil {
		t.Error("a name that is no key is taken")
	}
}
