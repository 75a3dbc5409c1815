package contexts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("no such context")
	ErrExists   = errors.New("context exists")
	ErrName     = errors.New("not a context name: letters, digits, '.', '_' and '-', 64 at most")
)

const (
	dirMode  = 0o700
	fileMode = 0o600
	suffix   = ".json"
)

// Store is the contexts of one user. It holds no state but its directory.
type Store struct{ dir string }

// Open returns the store in dir, which need not exist yet.
func Open(dir string) *Store { return &Store{dir: dir} }

// DefaultDir returns $XDG_CONFIG_HOME/covey, or ~/.config/covey. An
// XDG_CONFIG_HOME that is not absolute is ignored, as its specification says.
func DefaultDir(getenv func(string) string) (string, error) {
	if dir := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "covey"), nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", errors.New("neither XDG_CONFIG_HOME nor HOME is an absolute path")
	}
	return filepath.Join(home, ".config", "covey"), nil
}

// Dir returns the store's directory.
func (s *Store) Dir() string { return s.dir }

// CredsDir returns where credentials files go unless the user says otherwise.
func (s *Store) CredsDir() string { return filepath.Join(s.dir, "creds") }

func (s *Store) path(name string) string {
	return filepath.Join(s.dir, "contexts", name+suffix)
}

func (s *Store) currentPath() string { return filepath.Join(s.dir, "current") }

// file is a context as it is on disk: the only form that shows the key.
type file struct {
	*Context
	Key string `json:"api_key,omitempty"`
}

// Get reads one context.
func (s *Store) Get(name string) (*Context, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("%w: %q", ErrName, name)
	}
	data, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read context: %w", err)
	}
	f := file{Context: &Context{}}
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("read context %s: %w", s.path(name), err)
	}
	f.Name = name
	f.APIKey = NewAPIKey(f.Key)
	return f.Context, nil
}

// Exists reports whether there is a context of that name, readable or not.
func (s *Store) Exists(name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

// Put writes a context, replacing one of the same name.
func (s *Store) Put(c *Context) error {
	if !ValidName(c.Name) {
		return fmt.Errorf("%w: %q", ErrName, c.Name)
	}
	data, err := json.MarshalIndent(file{Context: c, Key: c.APIKey.Reveal()}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode context: %w", err)
	}
	if err := WriteSecret(s.path(c.Name), append(data, '\n')); err != nil {
		return fmt.Errorf("write context: %w", err)
	}
	return nil
}

// Create writes a context that must not exist.
func (s *Store) Create(c *Context) error {
	if s.Exists(c.Name) {
		return fmt.Errorf("%w: %s", ErrExists, c.Name)
	}
	return s.Put(c)
}

// List reads all contexts, by name. Files that cannot be read are skipped and
// their errors joined: one damaged file must not hide the others.
func (s *Store) List() ([]*Context, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "contexts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list contexts: %w", err)
	}
	var all []*Context
	var problems []error
	for _, e := range entries {
		name, isContext := strings.CutSuffix(e.Name(), suffix)
		if !isContext || !ValidName(name) {
			continue
		}
		c, err := s.Get(name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		all = append(all, c)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, errors.Join(problems...)
}

// LatestOperator returns the operator context that was written last, which is
// the one of the control plane that started last; ErrNotFound without any.
func (s *Store) LatestOperator() (*Context, error) {
	all, err := s.List()
	var latest *Context
	var at time.Time
	for _, c := range all {
		info, statErr := os.Stat(s.path(c.Name))
		if !c.IsOperator() || statErr != nil {
			continue
		}
		if latest == nil || info.ModTime().After(at) {
			latest, at = c, info.ModTime()
		}
	}
	if latest != nil {
		return latest, nil
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: none is an operator's", ErrNotFound)
}

// Delete removes a context, and its selection if it was selected. Credentials
// files stay.
func (s *Store) Delete(name string) error {
	if !ValidName(name) {
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	err := os.Remove(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if err != nil {
		return fmt.Errorf("delete context: %w", err)
	}
	if current, err := s.Current(); err != nil || current != name {
		return err
	}
	if err := os.Remove(s.currentPath()); err != nil {
		return fmt.Errorf("unselect context: %w", err)
	}
	return nil
}

// Current returns the name of the selected context; empty if none is.
func (s *Store) Current() (string, error) {
	data, err := os.ReadFile(s.currentPath())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read selected context: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// Use selects a context.
func (s *Store) Use(name string) error {
	if _, err := s.Get(name); err != nil {
		return err
	}
	if err := WriteSecret(s.currentPath(), []byte(name+"\n")); err != nil {
		return fmt.Errorf("select context: %w", err)
	}
	return nil
}

// UseIfNone selects a context unless one that exists is selected, and reports
// whether it did.
func (s *Store) UseIfNone(name string) (bool, error) {
	current, err := s.Current()
	if err != nil {
		return false, err
	}
	if current != "" && s.Exists(current) {
		return false, nil
	}
	return true, s.Use(name)
}

// WriteSecret writes a file that only its owner can read, whole or not at all,
// making its directories 0700. An existing file is replaced.
func WriteSecret(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-*") // 0600 from the start
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), fileMode)
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
