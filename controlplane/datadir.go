package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/coveymq/covey/internal/errs"
)

// dataDir is a data directory that this process alone uses until Close.
type dataDir struct {
	path string
	lock *os.File
}

func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, explainDir(path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, explainDir(path, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a file descriptor is small
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errs.New(errs.Precondition, "DATA_DIR_IN_USE", "another process uses the data directory %s", path).
				WithNext("stop that process, or choose another data directory")
		}
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	return &dataDir{path: path, lock: lock}, nil
}

func (d *dataDir) join(name string) string { return filepath.Join(d.path, name) }

// Close gives the directory free. The lock file stays: removing it would let
// two processes lock two files of that name.
func (d *dataDir) Close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("unlock data directory: %w", err)
	}
	return nil
}

func explainDir(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return errs.New(errs.Denied, "DATA_DIR_DENIED", "the data directory %s cannot be written", path).
			WithNext("check its owner and mode, or choose another data directory").WithCause(err)
	case errors.Is(err, syscall.ENOSPC):
		return errs.New(errs.Exhausted, "DISK_FULL", "no space is left for the data directory %s", path).
			WithNext("free some space or choose another data directory").WithCause(err)
	case errors.Is(err, syscall.ENOTDIR):
		return errs.New(errs.Invalid, "DATA_DIR_NOT_A_DIRECTORY", "%s is not a directory", path).WithCause(err)
	}
	return fmt.Errorf("open data directory %s: %w", path, err)
}
