package fleet

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"pgregory.net/rapid"
)

func newPair(t *testing.T, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pair, pub
}

func sign(t *testing.T, c interface {
	Encode(nkeys.KeyPair) (string, error)
}, signer nkeys.KeyPair,
) string {
	t.Helper()
	text, err := c.Encode(signer)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTrust(t *testing.T) {
	root, rootKey := newPair(t, nkeys.CreateOperator)
	signing, signingKey := newPair(t, nkeys.CreateOperator)
	stranger, strangerKey := newPair(t, nkeys.CreateOperator)
	_, account := newPair(t, nkeys.CreateAccount)
	_, other := newPair(t, nkeys.CreateAccount)
	dir := t.TempDir()
	trusted := openTrust(rootKey, dir, slog.New(slog.DiscardHandler))

	byRoot := sign(t, jwt.NewAccountClaims(account), root)
	bySigning := sign(t, jwt.NewAccountClaims(account), signing)
	byStranger := sign(t, jwt.NewAccountClaims(account), stranger)
	check := func(when, name, text, account string, want bool) {
		t.Helper()
		if err := trusted.verify(account, text); (err == nil) != want {
			t.Errorf("%s: verify claims %s = %v, want accepted %v", when, name, err, want)
		}
	}
	check("no operator jwt", "by the root", byRoot, account, true)
	check("no operator jwt", "by a signing key", bySigning, account, false)

	if trusted.set(sign(t, jwt.NewOperatorClaims(strangerKey), stranger)) == nil {
		t.Error("another operator's JWT is taken")
	}
	operator := jwt.NewOperatorClaims(rootKey)
	operator.SigningKeys.Add(signingKey)
	if trusted.set(sign(t, operator, signing)) == nil {
		t.Error("an operator JWT that a signing key signed is taken")
	}
	if err := trusted.set(sign(t, operator, root)); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"with operator jwt", "after a restart"} {
		check(when, "by the root", byRoot, account, true)
		check(when, "by a signing key", bySigning, account, true)
		check(when, "by a stranger", byStranger, account, false)
		check(when, "of another account", byRoot, other, false)
		check(when, "cut off", byRoot[:len(byRoot)-3], account, false)
		check(when, "that are empty", "", account, false)
		trusted = openTrust(rootKey, dir, slog.New(slog.DiscardHandler))
	}
}

// The cache is a map from accounts to claims, also after it was opened again.
func TestCacheIsAMap(t *testing.T) {
	var accounts []string
	for range 5 {
		_, key := newPair(t, nkeys.CreateAccount)
		accounts = append(accounts, key)
	}
	base := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(base, "c") //nolint:usetesting // one for each of rapid's runs
		if err != nil {
			r.Fatal(err)
		}
		c, _, err := openCache(dir)
		if err != nil {
			r.Fatal(err)
		}
		want := make(map[string]claims)
		for range rapid.IntRange(0, 20).Draw(r, "steps") {
			account := rapid.SampledFrom(accounts).Draw(r, "account")
			switch rapid.IntRange(0, 2).Draw(r, "step") {
			case 0:
				now := claims{Revision: rapid.Int64().Draw(r, "revision"), JWT: rapid.String().Draw(r, "jwt")}
				if err := c.store(account, now); err != nil {
					r.Fatal(err)
				}
				want[account] = claims{Revision: now.Revision, JWT: strings.ToValidUTF8(now.JWT, "\ufffd")}
			case 1:
				if err := c.remove(account); err != nil {
					r.Fatal(err)
				}
				delete(want, account)
			case 2:
				var revisions map[string]int64
				if c, revisions, err = openCache(dir); err != nil {
					r.Fatal(err)
				}
				if len(revisions) != len(want) {
					r.Fatalf("opened with %d accounts, want %d", len(revisions), len(want))
				}
			}
			got, err := c.load(account)
			if w, ok := want[account]; ok != (err == nil) || got != w {
				r.Fatalf("load = %+v, %v; want %+v", got, err, w)
			}
		}
	})
}

func TestCacheRemovesWhatIsNotClaims(t *testing.T) {
	dir := t.TempDir()
	_, account := newPair(t, nkeys.CreateAccount)
	_, misplaced := newPair(t, nkeys.CreateAccount)
	c, _, err := openCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.store(account, claims{Revision: 1}); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(c.path(account))
	if c.path(misplaced) == filepath.Join(folder, misplaced) {
		t.Skip("one in 256: the keys share a folder")
	}
	for name, content := range map[string]string{
		".new-123": "cut", misplaced: `{"revision":5,"jwt":"x"}`, "notes.txt": "hello",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, revisions, err := openCache(dir)
	if err != nil || len(revisions) != 1 || revisions[account] != 1 {
		t.Errorf("openCache = %v, %v; want the one account", revisions, err)
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 1 {
		t.Errorf("%d files left, %v; want 1", len(left), err)
	}
}

func TestClaimsThatCannotBeReplacedAreNotKept(t *testing.T) {
	_, account := newPair(t, nkeys.CreateAccount)
	c, _, err := openCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.store(account, claims{Revision: 1, JWT: "old"}); err != nil {
		t.Fatal(err)
	}
	// Something that rename cannot replace gets in the way.
	if err := os.Remove(c.path(account)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.path(account), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.store(account, claims{Revision: 2, JWT: "new"}); err == nil {
		t.Fatal("store succeeded")
	}
	if _, err := os.Stat(c.path(account)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a failed store: %v, want nothing left", err)
	}
}

func TestContactAllowsNothingUnlessHeard(t *testing.T) {
	dir := t.TempDir()
	if got := readContact(dir).until(); !got.IsZero() {
		t.Errorf("without a file: until %v, want never", got)
	}
	future := contact{Last: time.Now().Add(1000 * time.Hour), Grace: time.Hour}
	if err := writeJSON(filepath.Join(dir, contactFile), future); err != nil {
		t.Fatal(err)
	}
	if got := readContact(dir).until(); got.After(time.Now().Add(time.Hour)) {
		t.Errorf("contact in the future: until %v, want at most the grace from now", got)
	}
}

func TestReadFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(path, make([]byte, fileMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readFile(path); err == nil {
		t.Error("a file above the bound was read")
	}
	if _, err := readFile(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v, want %v", err, fs.ErrNotExist)
	}
}

func FuzzJoinTokenPin(f *testing.F) {
	f.Add("coveyjoin_" + strings.Repeat("A", 43) + "_" + strings.Repeat("B", 43))
	f.Add("coveyjoin_" + strings.Repeat("_", 87))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := JoinToken(text).pin(); err == nil && len(strings.TrimSpace(text)) != 97 {
			t.Errorf("%q accepted", text)
		}
	})
}
