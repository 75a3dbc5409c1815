// Package testport gives tests ports for servers whose addresses have to be known
// before they start, or that come back where they were. It serves tests only.
package testport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
)

// Ports are taken from below the range the kernel hands to outgoing connections
// and to who listens on any port, so that nobody holds one by chance. Each process
// has a block of them to itself, so that what was free a moment ago still is when
// the server that it is meant for starts.
const (
	portFirst  = 20000
	blockSize  = 200
	blockCount = 60
)

// block is a run of ports. Its first one is bound, and never listened on, for as
// long as the process lives: that is how others see whose block it is.
type block struct {
	mu    sync.Mutex
	first int // 0 before there is one; guarded by mu
	next  int // offset of the last port that was given; guarded by mu
}

var ours block //nolint:gochecknoglobals // of the process, as its ports are

// Free returns a port of 127.0.0.1 that nobody listened on a moment ago. No
// process that asks in this way gets the same one, and this one does so only when
// it has had all others of its block.
func Free() (int, error) { return ours.free() }

// Addr is Free as host:port.
func Addr() (string, error) {
	port, err := Free()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

func (b *block) free() (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first == 0 {
		if err := b.claim(); err != nil {
			return 0, err
		}
	}
	for range blockSize - 1 {
		b.next = 1 + b.next%(blockSize-1)
		free, err := bindable(b.first + b.next)
		if err != nil {
			return 0, err
		}
		if free {
			return b.first + b.next, nil
		}
	}
	return 0, errors.New("no free port found")
}

// claim takes a block that no process has.
func (b *block) claim() error {
	for _, i := range rand.Perm(blockCount) { //nolint:gosec // spreading, not secrecy
		first := portFirst + i*blockSize
		fd, err := bind(first, false)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return err
		}
		_ = fd                                          // stays open until the process ends
		b.first, b.next = first, rand.IntN(blockSize-1) //nolint:gosec // likewise
		return nil
	}
	return errors.New("all blocks of ports are taken")
}

// bindable tries the port without listening on it: a listening socket, even
// one already closed here, lives on for a moment in a child that is being
// forked beside us and would pass for the server that is awaited.
func bindable(port int) (bool, error) {
	fd, err := bind(port, true)
	if errors.Is(err, syscall.EADDRINUSE) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_ = syscall.Close(fd)
	return true, nil
}

// bind returns a socket that has the port, shared with others that do not listen
// on it or not.
func bind(port int, shared bool) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("probe socket: %w", err)
	}
	if shared {
		err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		_ = syscall.Close(fd)
		return 0, fmt.Errorf("probe socket: %w", err)
	}
	return fd, nil
}
