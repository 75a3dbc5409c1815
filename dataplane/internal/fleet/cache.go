package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"
)

// claims is one account's signed state; an empty JWT says that it was deleted.
type claims struct {
	Revision int64  `json:"revision"`
	JWT      string `json:"jwt"`
}

// cache keeps signed claims in files. It verifies nothing and bounds nothing;
// the Client does both. Calls for one account must not overlap.
type cache struct{ dir string }

// openCache returns the cache and the revision of each account in it. Files that
// are not what they should be are removed.
func openCache(stateDir string) (*cache, map[string]int64, error) {
	c := &cache{dir: filepath.Join(stateDir, "claims")}
	revisions := make(map[string]int64)
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make claims cache: %w", err)
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("open claims cache: %w", err)
	}
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		account := d.Name()
		got, err := c.load(account)
		if err != nil || c.path(account) != filepath.Join(c.dir, path) {
			return root.Remove(path)
		}
		revisions[account] = got.Revision
		return nil
	})
	if err := errors.Join(err, root.Close()); err != nil {
		return nil, nil, fmt.Errorf("read claims cache: %w", err)
	}
	return c, revisions, nil
}

func (c *cache) path(account string) string {
	sum := sha256.Sum256([]byte(account))
	return filepath.Join(c.dir, hex.EncodeToString(sum[:1]), account)
}

func (c *cache) load(account string) (claims, error) {
	if strings.ContainsAny(account, `/\`) || !nkeys.IsValidPublicAccountKey(account) {
		return claims{}, fmt.Errorf("not an account: %w", fs.ErrNotExist)
	}
	var got claims
	if err := readJSON(c.path(account), &got); err != nil {
		return claims{}, err
	}
	return got, nil
}

// store replaces what is kept of account. When that fails nothing is kept:
// claims that were superseded must not be found at the next start.
func (c *cache) store(account string, now claims) error {
	path := c.path(account)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = writeJSON(path, now)
	}
	if err != nil {
		return errors.Join(err, c.remove(account))
	}
	return nil
}

func (c *cache) remove(account string) error {
	if err := os.Remove(c.path(account)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove cached claims: %w", err)
	}
	return nil
}
