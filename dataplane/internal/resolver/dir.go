package resolver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// extension of the files in a directory, which are called as the accounts' keys.
const extension = ".jwt"

// Permissions of what is made, as nats-server makes it.
const (
	dirMode  = 0o750
	fileMode = 0o640
)

// Dir is a directory of signed claims in nats-server's layout: KEY.jwt for each
// account.
type Dir struct {
	Path string
	// Limit is how many accounts there may be; 0 for no limit.
	Limit int
	// TTL is after which time since it was stored, or since the start if that is
	// later, a file is forgotten; 0 for never. Only a cache has one.
	TTL time.Duration
	// Evict makes room at the limit by removing the oldest file. Otherwise what is
	// too many is refused.
	Evict bool
	// Removal is what becomes of accounts that are deleted.
	Removal Removal
}

// Removal is what becomes of accounts that are deleted.
type Removal uint8

// The ways to delete an account.
const (
	Refuse Removal = iota // they stay
	Rename                // the file stays under another name
	Erase
)

// dir is a Dir that is open.
type dir struct {
	Dir
	opened time.Time

	mu    sync.Mutex
	fresh bool              // the index is of this very moment: it was not used yet; guarded by mu, as is all below
	index map[string]digest // of the files there are, also while files are written
	sum   digest            // of all of them
}

// digest is of claims, or of many together.
type digest [sha256.Size]byte

func (d *digest) toggle(o digest) {
	for i := range o {
		d[i] ^= o[i]
	}
}

// NewDir returns a resolver by a directory, which is made if need be.
func NewDir(d Dir) (*Resolver, error) {
	if err := os.MkdirAll(d.Path, dirMode); err != nil {
		return nil, fmt.Errorf("account directory: %w", err)
	}
	open := &dir{Dir: d, opened: time.Now()}
	if err := open.scan(); err != nil {
		return nil, err
	}
	open.fresh = true
	return &Resolver{
		find:    func(_ context.Context, key string) (string, error) { return open.find(key, time.Now()) },
		preload: open.preload,
		close:   func() {},
		store:   &Store{dir: open},
	}, nil
}

// scan makes the index of the files there are.
func (d *dir) scan() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fresh {
		d.fresh = false // reading all files twice in a row would double what a start takes
		return nil
	}
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return fmt.Errorf("account directory: %w", err)
	}
	d.index, d.sum = make(map[string]digest, len(entries)), digest{}
	for _, e := range entries {
		key := strings.TrimSuffix(e.Name(), extension)
		path, ok := d.path(key)
		if !ok || e.Name() != key+extension {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("account directory: %w", err)
		}
		d.noteLocked(key, text)
	}
	return nil
}

// noteLocked puts a file into the index.
func (d *dir) noteLocked(key string, text []byte) {
	d.sum.toggle(d.index[key]) // nothing, if it is not there
	d.index[key] = sha256.Sum256(text)
	d.sum.toggle(d.index[key])
}

// dropLocked takes a file out of the index.
func (d *dir) dropLocked(key string) {
	d.sum.toggle(d.index[key])
	delete(d.index, key)
}

// path returns the file of an account. Keys have no characters that mean
// anything in a path.
func (d *dir) path(key string) (string, bool) {
	return filepath.Join(d.Path, key+extension), nkeys.IsValidPublicAccountKey(key)
}

func (d *dir) find(key string, now time.Time) (string, error) {
	path, ok := d.path(key)
	if !ok {
		return "", account.ErrUnknown
	}
	if d.TTL > 0 && d.stale(path, now) {
		return "", account.ErrUnknown
	}
	token, err := os.ReadFile(path) //nolint:gosec // see path
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", account.ErrUnknown
	case err != nil:
		return "", fmt.Errorf("%w: %w", account.ErrUnavailable, err)
	}
	return strings.TrimSpace(string(token)), nil
}

func (d *dir) stale(path string, now time.Time) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false // reading it will tell
	}
	since := info.ModTime()
	if since.Before(d.opened) {
		since = d.opened
	}
	return now.Sub(since) >= d.TTL
}

// preload stores claims, but for those of which the directory has newer ones, and
// notes what has changed in the directory.
func (d *dir) preload(claims map[string]string) error {
	if err := d.scan(); err != nil {
		return err
	}
	for key, token := range claims {
		if _, err := d.save(key, token, newer|durable); err != nil {
			return fmt.Errorf("account %s: %w", key, err)
		}
	}
	return nil
}

// How claims are saved.
type manner uint8

const (
	newer   manner = 1 << iota // unless there are newer ones
	durable                    // they are on the disk when save returns
)

var errNotAKey = errors.New("not the public key of an account")

// save reports whether something has changed.
func (d *dir) save(key, token string, how manner) (bool, error) {
	path, ok := d.path(key)
	if !ok {
		return false, errNotAKey
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old, known := d.index[key]
	if known && old == sha256.Sum256([]byte(token)) {
		return false, nil
	}
	have, err := os.ReadFile(path) //nolint:gosec // see path
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.dropLocked(key) // somebody removed the file
		if err := d.makeRoomLocked(); err != nil {
			return false, err
		}
	case err != nil:
		return false, err
	case how&newer != 0:
		if newer, err := supersedes(token, string(have)); err != nil || !newer {
			return false, err
		}
	}
	if err := replace(path, token, how&durable != 0); err != nil {
		return false, err
	}
	d.noteLocked(key, []byte(token))
	return true, nil
}

// supersedes reports whether claims are others than those there are, and not
// older. What cannot be read is superseded by anything.
func supersedes(token, have string) (bool, error) {
	claims, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return false, err
	}
	if old, err := jwt.DecodeAccountClaims(strings.TrimSpace(have)); err == nil {
		return old.ID != claims.ID && old.IssuedAt <= claims.IssuedAt, nil
	}
	return true, nil
}

var errFull = errors.New("the account directory is full: its limit is reached")

// makeRoomLocked sees that there is room for one more account.
func (d *dir) makeRoomLocked() error {
	if d.Limit <= 0 || len(d.index) < d.Limit {
		return nil
	}
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return err
	}
	n, oldest, at := 0, "", time.Time{}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != extension {
			continue
		}
		n++
		if info, err := e.Info(); err == nil && (oldest == "" || info.ModTime().Before(at)) {
			oldest, at = e.Name(), info.ModTime()
		}
	}
	switch {
	case n < d.Limit:
		return nil
	case !d.Evict:
		return errFull
	}
	if err := os.Remove(filepath.Join(d.Path, oldest)); err != nil {
		return err
	}
	d.dropLocked(strings.TrimSuffix(oldest, extension))
	return nil
}

// replace writes a file so that it is there whole or as it was.
func replace(path, text string, durable bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(text)
	if durable {
		err = errors.Join(err, f.Sync())
	}
	if err = errors.Join(err, f.Chmod(fileMode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
