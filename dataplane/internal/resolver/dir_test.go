package resolver_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
	"github.com/coveymq/covey/dataplane/internal/resolver"
)

func open(t *testing.T, d resolver.Dir) *resolver.Resolver {
	t.Helper()
	r, err := resolver.NewDir(d)
	return operatortest.Must(t, r, err)
}

func TestADirectoryKeepsWhatIsNewer(t *testing.T) {
	d := resolver.Dir{Path: filepath.Join(t.TempDir(), "made", "here")}
	r := open(t, d)
	a := operatortest.New(t).Account("a")
	for i, name := range []string{"first", "second"} {
		a.Claims.Name = name
		token := a.Token()
		if err := r.Preload(map[string]string{a.Key: token}); err != nil {
			t.Fatal(i, err)
		}
		if got, _, err := r.Lookup(t.Context(), a.Key); err != nil || got != token {
			t.Errorf("%s: %v\n%s\n%s", name, err, got, token)
		}
	}
	for name, stored := range map[string]string{"noise": "x", "nothing": ""} {
		if err := os.WriteFile(filepath.Join(d.Path, a.Key+".jwt"), []byte(stored), 0o600); err != nil {
			t.Fatal(err)
		}
		token := a.Token()
		if err := r.Preload(map[string]string{a.Key: token}); err != nil {
			t.Errorf("over %s: %v", name, err)
		}
		if got, _, err := r.Lookup(t.Context(), a.Key); err != nil || got != token {
			t.Errorf("over %s: %q, %v", name, got, err)
		}
	}
	if files, err := os.ReadDir(d.Path); err != nil || len(files) != 1 {
		t.Errorf("files: %v, %v", files, err)
	}
}

// Names of files are the keys of accounts, and nothing else is looked up.
func TestADirectoryIsNotLeft(t *testing.T) {
	d := resolver.Dir{Path: filepath.Join(t.TempDir(), "jwt")}
	r := open(t, d)
	if err := os.WriteFile(filepath.Join(d.Path, "..", "secret.jwt"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../secret", "", ".", "A", operatortest.New(t).Key} {
		if got, _, err := r.Lookup(t.Context(), key); !errors.Is(err, account.ErrUnknown) {
			t.Errorf("%q: %q, %v", key, got, err)
		}
		if err := r.Preload(map[string]string{key: "x"}); err == nil {
			t.Errorf("%q is stored", key)
		}
	}
}

func TestLimitOfADirectory(t *testing.T) {
	op := operatortest.New(t)
	for _, cache := range []bool{false, true} {
		d := resolver.Dir{Path: t.TempDir(), Limit: 2, Evict: cache}
		r := open(t, d)
		known := 0
		var all []*operatortest.Account
		for i := range 3 {
			a := op.Account("a")
			all = append(all, a)
			err := r.Preload(map[string]string{a.Key: a.Token()})
			if (err != nil) != (i == 2 && !cache) {
				t.Errorf("cache=%v: account %d: %v", cache, i, err)
			}
			old := time.Now().Add(time.Duration(i-10) * time.Minute)
			if err == nil && os.Chtimes(filepath.Join(d.Path, a.Key+".jwt"), old, old) != nil {
				t.Fatal("chtimes")
			}
		}
		for _, a := range all {
			if _, _, err := r.Lookup(t.Context(), a.Key); err == nil {
				known++
			}
		}
		if _, _, err := r.Lookup(t.Context(), all[0].Key); known != 2 || (err != nil) != cache {
			t.Errorf("cache=%v: %d are known, the oldest: %v", cache, known, err)
		}
	}
}

func TestACacheForgets(t *testing.T) {
	path := t.TempDir()
	a := operatortest.New(t).Account("a")
	file := filepath.Join(path, a.Key+".jwt")
	synctest.Test(t, func(t *testing.T) {
		r := open(t, resolver.Dir{Path: path, TTL: time.Minute, Evict: true})
		if err := r.Preload(map[string]string{a.Key: a.Token()}); err != nil {
			t.Fatal(err)
		}
		// Files have the time of the bubble's outside.
		if err := os.Chtimes(file, time.Now(), time.Now()); err != nil {
			t.Fatal(err)
		}
		<-time.After(59 * time.Second)
		if _, _, err := r.Lookup(t.Context(), a.Key); err != nil {
			t.Errorf("before its time: %v", err)
		}
		<-time.After(time.Second)
		if _, _, err := r.Lookup(t.Context(), a.Key); !errors.Is(err, account.ErrUnknown) {
			t.Errorf("after its time: %v", err)
		}
		r = open(t, resolver.Dir{Path: path, TTL: time.Minute, Evict: true})
		if _, _, err := r.Lookup(t.Context(), a.Key); err != nil {
			t.Errorf("after a restart: %v", err)
		}
	})
}
