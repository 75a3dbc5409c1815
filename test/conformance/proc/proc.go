// Package proc starts broker processes on loopback for tests and benchmarks
// and reads what they cost from /proc. It knows the command line that
// nats-server and covey-broker share and nothing of the protocol.
//
// A Server is started by Start and ended by Stop; its methods may be called
// from any goroutine.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const (
	// startTries is how many ports are tried before a start is given up: a
	// port that was free a moment ago may be taken by another test.
	startTries = 5
	// readyTimeout is generous because a loaded machine starts slowly.
	readyTimeout = time.Minute
	// readyPoll is short because a healthy server is ready in a few milliseconds.
	readyPoll = 2 * time.Millisecond
	// logMax bounds what is kept of a server's log.
	logMax = 256 << 10
)

// errExited reports a server that ended before it listened.
var errExited = errors.New("server exited before it listened")

// Options say which server to start and how.
type Options struct {
	// Path is the binary.
	Path string
	// Config is the text of the configuration file.
	Config string
	// Dir receives the configuration file; it must exist.
	Dir string
	// Args are added after the common ones.
	Args []string
}

// Server is a running broker process.
type Server struct {
	// Addr is the host:port clients connect to.
	Addr string
	// Port is the port of Addr.
	Port int

	cmd    *exec.Cmd
	cancel context.CancelFunc
	log    *boundedBuffer
	done   chan struct{}
	wg     sync.WaitGroup
}

// Start runs the server and returns once it listens. The process is killed
// when ctx ends or Stop is called.
func Start(ctx context.Context, o Options) (*Server, error) {
	file, err := writeConfig(o)
	if err != nil {
		return nil, err
	}
	for range startTries {
		s, err := startOn(ctx, o, file)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errExited) || !bytes.Contains([]byte(err.Error()), []byte("in use")) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no free port after %d tries", startTries)
}

func writeConfig(o Options) (string, error) {
	f, err := os.CreateTemp(o.Dir, "server-*.conf")
	if err != nil {
		return "", fmt.Errorf("create config file: %w", err)
	}
	if _, err := f.WriteString(o.Config); err != nil {
		return "", errors.Join(fmt.Errorf("write config file: %w", err), f.Close())
	}
	return f.Name(), f.Close()
}

func startOn(ctx context.Context, o Options, file string) (*Server, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	args := append([]string{"-c", file, "-a", "127.0.0.1", "-p", strconv.Itoa(port)}, o.Args...)
	s := &Server{
		Addr:   fmt.Sprintf("127.0.0.1:%d", port),
		Port:   port,
		cmd:    exec.CommandContext(ctx, o.Path, args...),
		cancel: cancel,
		log:    &boundedBuffer{},
		done:   make(chan struct{}),
	}
	s.cmd.Dir = filepath.Dir(file)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", o.Path, err)
	}
	s.wg.Go(func() {
		defer close(s.done)
		_ = s.cmd.Wait() // how a killed server ends says nothing
	})
	if err := s.awaitListening(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w; log:\n%s", err, s.Log())
	}
	return s, nil
}

// awaitListening watches for the listener from outside, because a probing
// connection would be counted by the limits under test.
func (s *Server) awaitListening(ctx context.Context) error {
	deadline := time.NewTimer(readyTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		ok, err := listening(s.Port)
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return errExited
		case <-deadline.C:
			return errors.New("server did not listen in time")
		case <-tick.C:
		}
	}
}

// Stop kills the process and waits for it.
func (s *Server) Stop() {
	s.cancel()
	s.wg.Wait()
}

// Exited reports whether the process has ended.
func (s *Server) Exited() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Log returns the beginning of what the server wrote.
func (s *Server) Log() string { return s.log.String() }

// Signal sends the process a signal.
func (s *Server) Signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// Done is closed when the process has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// PID is the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// boundedBuffer keeps the first logMax bytes written to it.
type boundedBuffer struct {
	mu  sync.Mutex
	buf []byte // guarded by mu
}

// Write keeps what fits and accepts the rest silently.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p[:min(len(p), logMax-len(b.buf))]...)
	return len(p), nil
}

// String returns what was kept.
func (b *boundedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf)
}
