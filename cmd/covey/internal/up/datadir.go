package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/uuid"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// spaceNeeded is what a start takes at least: the store writes its log ahead in
// segments of 64 MB, two at a time, before it has anything to say.
const spaceNeeded = 256 << 20

// dataDir is a data directory that this process holds alone.
type dataDir struct {
	path         string
	installation string // made with the directory, and never changed
	lock         *os.File
}

func (d *dataDir) controlPlane() string { return filepath.Join(d.path, "controlplane") }
func (d *dataDir) broker() string       { return filepath.Join(d.path, "broker") }

// close gives the directory up.
func (d *dataDir) close() { _ = d.lock.Close() } // the lock goes with the descriptor

// openDataDir makes the directory if need be, takes its lock, and makes sure
// that there is room.
func openDataDir(path string, free func(string) (uint64, error)) (_ *dataDir, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find data directory: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, dirFault(path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, dirFault(path, err)
	}
	d := &dataDir{path: path, lock: lock}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, term.Failf("stop the other `covey up`, or start this one with another --data DIR",
			"data directory %s is in use by another process%s", path, holder(lock))
	}
	if err != nil {
		return nil, dirFault(path, err)
	}
	room, err := free(path)
	if err != nil {
		return nil, dirFault(path, err)
	}
	if room < spaceNeeded {
		return nil, term.Failf("make room, or use another disk with --data DIR",
			"the disk of %s has %d MiB left, and %d MiB are needed", path, room>>20, uint64(spaceNeeded)>>20)
	}
	if err := noteHolder(lock); err != nil {
		return nil, dirFault(path, err)
	}
	d.installation, err = installationOf(path)
	return d, err
}

// holder tells which process has the lock, if it wrote that down.
func holder(lock *os.File) string {
	b := make([]byte, 32)
	n, _ := lock.ReadAt(b, 0) // only a help
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return " (" + term.Clean(pid) + ")"
	}
	return ""
}

func noteHolder(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt(fmt.Appendf(nil, "pid %d\n", os.Getpid()), 0)
	return err
}

func installationOf(path string) (string, error) {
	file := filepath.Join(path, "installation")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		id := uuid.NewString()
		if err := contexts.WriteSecret(file, []byte(id+"\n")); err != nil {
			return "", dirFault(path, err)
		}
		return id, nil
	}
	if err != nil {
		return "", dirFault(path, err)
	}
	id, err := uuid.Parse(strings.TrimSpace(string(data)))
	if err != nil {
		return "", term.Failf("restore it from a backup, or start anew with another --data DIR", "%s is damaged: %w", file, err)
	}
	return id.String(), nil
}

func dirFault(path string, err error) error {
	next := "choose another with --data DIR"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		next = "make room, or use another disk with --data DIR"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		next = "it must be writable for you; or choose another with --data DIR"
	}
	return term.Failf(next, "data directory %s cannot be used: %w", path, err)
}

// freeSpace returns the bytes that this user may still write at path.
func freeSpace(path string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// checkPorts finds out which port is taken before anything is started, so that
// the answer can name the flag.
func checkPorts(ctx context.Context, o *Options) error {
	var lc net.ListenConfig
	for _, p := range o.ports() {
		l, err := lc.Listen(ctx, "tcp", addr(*p.value))
		if errors.Is(err, syscall.EADDRINUSE) {
			return term.Failf(fmt.Sprintf("stop what uses it, or choose another: --%s N (0 is any free one)", p.flag),
				"port %d, for %s, is in use", *p.value, p.what)
		}
		if errors.Is(err, syscall.EACCES) {
			return term.Failf(fmt.Sprintf("choose one above 1023: --%s N", p.flag), "port %d, for %s, is not allowed", *p.value, p.what)
		}
		if err != nil {
			return fmt.Errorf("try port %d: %w", *p.value, err)
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("try port %d: %w", *p.value, err)
		}
	}
	return nil
}
