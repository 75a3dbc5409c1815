package nsctree_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/cmd/covey/internal/nsctree"
)

func tree(t *testing.T) nsctree.Tree {
	t.Helper()
	out := nsctree.Tree{Name: "PROD", Operator: "operator", Seeds: map[string]accounts.Seed{}, Accounts: []nsctree.Account{
		{Name: "A", JWT: "a", Users: []nsctree.User{{Name: "one", JWT: "1"}, {Name: "two", JWT: "2"}}},
		{Name: "Web Shop", JWT: "w"},
	}}
	for _, make := range []func() (accounts.Seed, error){accounts.NewOperatorKey, accounts.NewAccountKey, accounts.NewAccountKey} {
		seed, err := make()
		if err != nil {
			t.Fatal(err)
		}
		public, err := seed.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		out.Seeds[public] = seed
	}
	return out
}

func same(t *testing.T, got, want nsctree.Tree) {
	t.Helper()
	reveal := cmp.Transformer("seed", func(s accounts.Seed) string { return string(s.Reveal()) })
	if d := cmp.Diff(want, got, reveal); d != "" {
		t.Errorf("- written, + read:\n%s", d)
	}
}

// What is written is read, wherever somebody points to in it.
func TestTreesAreReadAsTheyWereWritten(t *testing.T) {
	dir, want := t.TempDir(), tree(t)
	t.Setenv("NKEYS_PATH", "")
	if err := nsctree.Write(dir, want); err != nil {
		t.Fatal(err)
	}
	for _, from := range []nsctree.Source{
		{Dir: dir},
		{Dir: filepath.Join(dir, "stores")},
		{Dir: filepath.Join(dir, "stores", "PROD")},
		{Dir: dir, Operator: "PROD", Keys: filepath.Join(dir, "keys", "keys")},
	} {
		got, err := nsctree.Read(from)
		if err != nil {
			t.Fatalf("%+v: %v", from, err)
		}
		same(t, got, want)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if info, _ := e.Info(); path != dir && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is no tree, or would be none, is refused.
func TestTreesAreRefused(t *testing.T) {
	t.Setenv("NKEYS_PATH", "")
	dir, good := t.TempDir(), tree(t)
	if err := nsctree.Write(dir, good); err != nil {
		t.Fatal(err)
	}
	other := tree(t)
	other.Name = "TEST"
	if err := nsctree.Write(dir, other); err != nil {
		t.Fatal(err)
	}
	seeds := t.TempDir()
	if err := os.WriteFile(filepath.Join(seeds, "A.nk"), []byte("SAAAAA"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := tree(t)
	bad.Accounts[0].Name = "../A"
	for what, c := range map[string]struct {
		do   func() error
		want string
	}{
		"two operators": {func() error { _, err := nsctree.Read(nsctree.Source{Dir: dir}); return err }, "2 operators"},
		"nothing there": {func() error { _, err := nsctree.Read(nsctree.Source{Dir: filepath.Join(dir, "x")}); return err }, "no nsc store"},
		"no keys": {func() error {
			_, err := nsctree.Read(nsctree.Source{Dir: dir, Operator: "PROD", Keys: dir + "/x"})
			return err
		}, "no keys"},
		"no seed": {func() error {
			_, err := nsctree.Read(nsctree.Source{Dir: dir, Operator: "PROD", Keys: seeds})
			return err
		}, "not an nkey seed"},
		"written again": {func() error { return nsctree.Write(dir, good) }, "there already"},
		"path as name":  {func() error { return nsctree.Write(t.TempDir(), bad) }, "no name for a file"},
	} {
		if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
