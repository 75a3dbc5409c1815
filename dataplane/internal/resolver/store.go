package resolver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Store is a directory whose claims others change and ask for. It may be used by
// several goroutines at a time.
type Store struct{ dir *dir }

// ErrNoRemoval is a store from which nothing is deleted.
var ErrNoRemoval = errors.New("delete must be enabled in server config")

// Save takes claims, whatever there are. It reports whether they are others than
// before; when it returns they are on the disk.
func (s *Store) Save(key, token string) (bool, error) { return s.dir.save(key, token, durable) }

// Merge takes claims unless there are newer ones, and reports whether it did.
// Whoever brought them has them still, so that the disk need not be waited for.
func (s *Store) Merge(key, token string) (bool, error) { return s.dir.save(key, token, newer) }

// Find returns the claims of an account; the error is account.ErrUnknown if there
// are none.
func (s *Store) Find(key string) (string, error) { return s.dir.find(key, time.Now()) }

// Removes reports whether accounts may be deleted.
func (s *Store) Removes() bool { return s.dir.Removal != Refuse }

// Remove deletes an account, if it is there.
func (s *Store) Remove(key string) error {
	d := s.dir
	path, ok := d.path(key)
	switch {
	case !ok:
		return errNotAKey
	case d.Removal == Refuse:
		return ErrNoRemoval
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	if d.Removal == Rename {
		err = os.Rename(path, path+".deleted")
	} else {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("account %s: %w", key, err)
	}
	d.dropLocked(key)
	return nil
}

// Hash is the same for two stores with the same claims.
func (s *Store) Hash() [32]byte {
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	return s.dir.sum
}

// Keys returns the accounts there are, in order.
func (s *Store) Keys() []string {
	s.dir.mu.Lock()
	keys := make([]string, 0, len(s.dir.index))
	for key := range s.dir.index {
		keys = append(keys, key)
	}
	s.dir.mu.Unlock()
	slices.Sort(keys)
	return keys
}
