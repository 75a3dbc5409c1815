package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// block lets whoever reads or writes wait in the kernel instead of in Go's
// poller: a thread for each, which costs a client that sends one request after
// the other less, and leaves the latency to the server. TLS stays as it is.
func (c *Conn) block() error {
	tcp, ok := c.nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	f, err := tcp.File()
	if err != nil {
		return err
	}
	// Fd makes the file description a blocking one, for all who share it.
	b := &blocking{file: f, fd: int(f.Fd())} //nolint:gosec // a descriptor is small
	c.nc = b
	return tcp.Close()
}

// hurry lets the goroutine that serves a blocking connection run at once when it
// has something to do, until the function that it returns is called. It stands for
// a client on a machine of its own; else what is measured is how long the kernel
// lets a server's thread go on that has much to do and sits on the same processor.
// A kernel that does not allow it is left alone.
func (c *Conn) hurry() func() {
	if _, ok := c.nc.(*blocking); !ok {
		return func() {}
	}
	runtime.LockOSThread()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	_ = unix.SchedSetAttr(0, &attr, 0)
	return func() {
		attr.Policy, attr.Priority = unix.SCHED_NORMAL, 0
		_ = unix.SchedSetAttr(0, &attr, 0)
		runtime.UnlockOSThread()
	}
}

// blocking is a socket whose reads and writes block their thread.
type blocking struct {
	net.Conn // nil: of a connection only what follows is used

	file     *os.File
	fd       int
	released atomic.Bool
}

func (b *blocking) Read(p []byte) (int, error) {
	for {
		n, err := syscall.Read(b.fd, p)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN) || b.released.Load():
			return 0, os.ErrDeadlineExceeded
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (b *blocking) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := syscall.Write(b.fd, p[written:])
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return written, fmt.Errorf("write: %w", err)
		}
		written += n
	}
	return written, nil
}

// SetReadDeadline bounds each read that begins after it. A time that has passed
// releases whoever reads, for good.
func (b *blocking) SetReadDeadline(t time.Time) error {
	left := time.Until(t)
	if t.IsZero() {
		left = 0 // for ever
	} else if left <= 0 {
		b.released.Store(true)
		return syscall.Shutdown(b.fd, syscall.SHUT_RD)
	}
	tv := syscall.NsecToTimeval(left.Nanoseconds())
	return syscall.SetsockoptTimeval(b.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &tv)
}

// SetLinger is as of a net.TCPConn, for no more than 0 seconds.
func (b *blocking) SetLinger(sec int) error {
	return syscall.SetsockoptLinger(b.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1, Linger: int32(sec)}) //nolint:gosec // seconds
}

func (b *blocking) Close() error { return b.file.Close() }
