package proc

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
)

const (
	// Ports are taken from below the range the kernel hands to outgoing
	// connections, so that no client of another test holds one by chance.
	portFirst = 20000
	portCount = 12000
	portTries = 200
)

// FreePort returns a port of 127.0.0.1 that nobody listened on a moment ago.
func FreePort() (int, error) {
	for range portTries {
		port := portFirst + rand.IntN(portCount) //nolint:gosec // spreading, not secrecy
		free, err := bindable(port)
		if err != nil {
			return 0, err
		}
		if free {
			return port, nil
		}
	}
	return 0, errors.New("no free port found")
}

// bindable tries the port without listening on it: a listening socket, even
// one already closed here, lives on for a moment in a child that is being
// forked beside us and would pass for the server that is awaited.
func bindable(port int) (bool, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("probe socket: %w", err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return false, fmt.Errorf("probe socket: %w", err)
	}
	addr := &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	return syscall.Bind(fd, addr) == nil, nil
}

// listening reports whether some process listens on the port, by the
// kernel's socket table: state 0A is LISTEN, addresses are little-endian hex.
func listening(port int) (bool, error) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read socket table: %w", err)
		}
		suffix := fmt.Appendf(nil, ":%04X", port)
		for line := range bytes.Lines(text) {
			f := bytes.Fields(line)
			if len(f) > 3 && bytes.HasSuffix(f[1], suffix) && string(f[3]) == "0A" {
				return true, nil
			}
		}
	}
	return false, nil
}
