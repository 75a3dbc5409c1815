package egress

import (
	"net"
	"syscall"
	"time"
	"unsafe"
)

// sink is where a connection's bytes go. All of it belongs to whoever owns the
// write side, but for busy.
type sink interface {
	// flush writes what the vector holds and returns how many bytes of it are
	// through: the kernel has them, in whatever form. With a wait it waits that
	// long for something to be accepted, without one not at all.
	flush(v *vector, wait time.Duration) (int, error)
	// held returns how many bytes behind those that are through are on their way
	// already: the next vector must begin with them.
	held() int
	// busy reports whether there is something to be sent that was in no vector.
	busy() bool
	// drop forgets what is held.
	drop()
}

// newSink returns the sink of a connection in clear.
func newSink(nc net.Conn) sink {
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return newSocket(nc, raw)
		}
	}
	return &stream{nc: nc}
}

// socket is a plain socket.
type socket struct {
	nc  net.Conn
	raw syscall.RawConn
	try func(uintptr) bool // attempt, made once

	// Of the write under way.
	iov   []syscall.Iovec
	wait  bool // block until something could be written
	brief bool // the write is over before the scheduler need know of it
	wrote int
	err   syscall.Errno
}

func newSocket(nc net.Conn, raw syscall.RawConn) *socket {
	s := &socket{nc: nc, raw: raw}
	s.try = s.attempt
	return s
}

func (s *socket) held() int  { return 0 }
func (s *socket) busy() bool { return false }
func (s *socket) drop()      {}

func (s *socket) flush(v *vector, wait time.Duration) (int, error) {
	return s.write(v.iov[:v.n], v.bytes, wait)
}

// briefMax is up to how many bytes a write that does not wait is made without
// telling the scheduler. Telling it costs a few percent of such a write, and as
// much as the write itself when the broker had nothing to do before, because it
// wakes the scheduler's own thread.
const briefMax = 4 << 10

func (s *socket) write(iov []syscall.Iovec, total int, wait time.Duration) (int, error) {
	s.iov, s.wait, s.brief, s.wrote, s.err = iov, wait > 0, wait == 0 && total <= briefMax, 0, 0
	if s.wait {
		if err := s.nc.SetWriteDeadline(time.Now().Add(wait)); err != nil {
			return 0, err
		}
	}
	err := s.raw.Write(s.try)
	s.iov = nil
	if s.wait {
		_ = s.nc.SetWriteDeadline(time.Time{}) // fails only if the connection is closed
	}
	if err != nil {
		return 0, err
	}
	if s.err != 0 {
		return 0, s.err
	}
	return s.wrote, nil
}

// attempt is the callback of RawConn.Write: one writev, or, if it is to wait, as
// many as it takes until the kernel accepts something.
func (s *socket) attempt(fd uintptr) bool {
	for {
		n, errno := writev(fd, s.iov, s.brief)
		switch errno {
		case 0:
			s.wrote = n
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return !s.wait
		default:
			s.err = errno
			return true
		}
	}
}

func writev(fd uintptr, iov []syscall.Iovec, brief bool) (int, syscall.Errno) {
	var n uintptr
	var errno syscall.Errno
	switch {
	case brief && len(iov) == 1:
		n, _, errno = syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(iov[0].Base)), uintptr(iov[0].Len))
	case brief:
		n, _, errno = syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	case len(iov) == 1:
		n, _, errno = syscall.Syscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(iov[0].Base)), uintptr(iov[0].Len))
	default:
		n, _, errno = syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// stream is a connection that cannot be asked without blocking: only the writer
// goroutine may write to it.
type stream struct{ nc net.Conn }

func (s *stream) held() int  { return 0 }
func (s *stream) busy() bool { return false }
func (s *stream) drop()      {}

func (s *stream) flush(v *vector, wait time.Duration) (int, error) {
	if wait == 0 {
		return 0, nil
	}
	if err := s.nc.SetWriteDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	total := 0
	for i := range v.n {
		n, err := s.nc.Write(v.bytesAt(i))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
