package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// credsPath is where the credentials file of a user goes by default:
// <organization>-<account>-<user>.creds.
func credsPath(store *contexts.Store, user string) string {
	var ids []string
	for i, part := range strings.Split(user, "/") {
		if i%2 == 1 {
			ids = append(ids, filepath.Base(part))
		}
	}
	return filepath.Join(store.CredsDir(), strings.Join(ids, "-")+".creds")
}

// reserved is a file beside the place of a credentials file, made before the
// call that brings its content, so that a full or read-only disk is noticed
// while nothing is lost yet.
type reserved struct{ file *os.File }

// credsRoom is more than a credentials file takes: a JWT stays under 3 KB.
const credsRoom = 8 << 10

func reserve(store *contexts.Store, out string) (*reserved, error) {
	dir := store.CredsDir()
	if out != "" {
		dir = filepath.Dir(out)
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, term.Failf("give another place with --creds-out or --out", "make the credentials directory: %w", err)
	}
	f, err := os.CreateTemp(dir, ".creds-*") // 0600 from the start
	if err != nil {
		return nil, term.Failf("give another place with --creds-out or --out", "prepare the credentials file: %w", err)
	}
	r := &reserved{file: f}
	_, err = f.Write(make([]byte, credsRoom))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		r.discard()
		return nil, term.Failf("make room on that disk", "prepare the credentials file: %w", err)
	}
	return r, nil
}

// discard removes the file unless write gave it its name.
func (r *reserved) discard() {
	if r.file != nil {
		_ = r.file.Close()
		_ = os.Remove(r.file.Name())
		r.file = nil
	}
}

// namesTried bounds the search for a free name.
const namesTried = 1000

// write fills the file and gives it its name, or, if that is taken and must
// not be replaced, the next free one like it: this secret is shown only once.
func (r *reserved) write(path, content string, replace bool) (string, error) {
	if content == "" {
		return "", errors.New("the answer holds none")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := r.file.WriteAt([]byte(content), 0); err != nil {
		return "", err
	}
	if err := r.file.Sync(); err != nil {
		return "", err
	}
	if replace {
		if err := os.Rename(r.file.Name(), path); err != nil {
			return "", err
		}
		_ = r.file.Close()
		r.file = nil
		return path, nil
	}
	defer r.discard()
	ext := filepath.Ext(path)
	for n := 1; n <= namesTried; n++ {
		name := path
		if n > 1 {
			name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ext), n, ext)
		}
		err := os.Link(r.file.Name(), name) // unlike Rename it refuses to replace
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s and its %d successors: %w", path, namesTried, fs.ErrExist)
}
