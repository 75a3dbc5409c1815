// Package testpostgres gives tests a real Postgres: a server in a temporary
// directory, on a unix socket, without fsync, that ends with the test. Without
// the programs of Postgres tests are skipped, but not where CI is set.
package testpostgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/coveymq/covey/internal/lifecycle"
)

const (
	owner       = "covey"
	startWithin = time.Minute
	// unprivileged are users that the server may run as when the tests are root,
	// which Postgres refuses to be.
	unprivileged = "postgres,nobody"
)

// Server is a running Postgres.
type Server struct {
	dir   string
	bin   string
	as    *syscall.Credential // nil: as we are
	made  atomic.Int64
	cmd   *exec.Cmd
	ended sync.WaitGroup
}

// Start starts a server that ends with the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	bin, err := find()
	if err != nil {
		if os.Getenv("CI") != "" {
			tb.Fatal(err)
		}
		tb.Skip(err)
	}
	s := &Server{bin: bin}
	if s.dir, err = os.MkdirTemp("", "pg"); err != nil { //nolint:usetesting // short: a unix socket's path has 108 bytes
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(s.dir); err != nil {
			tb.Error(err)
		}
	})
	if err := s.chooseUser(); err != nil {
		tb.Fatal(err)
	}
	s.init(tb)
	s.Up(tb)
	tb.Cleanup(func() { s.Down(tb) })
	return s
}

// Up starts the server again after Down.
func (s *Server) Up(tb testing.TB) {
	tb.Helper()
	s.cmd = s.command("postgres", "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "fsync=off",
		"-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB", "-c", "max_connections=60")
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		tb.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	err = s.cmd.Start()
	_ = log.Close() // the server has its own
	if err != nil {
		tb.Fatalf("start postgres: %v", err)
	}
	cmd := s.cmd
	s.ended.Go(func() { _ = cmd.Wait() }) // it ends when it is told to
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	backoff := lifecycle.Backoff{Min: 10 * time.Millisecond, Max: 200 * time.Millisecond}
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			_ = conn.Close(ctx)
			return
		}
		if backoff.Wait(ctx) != nil {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			tb.Fatalf("postgres does not start: %v\n%s", err, text)
		}
	}
}

// Down ends the server; its databases stay. It may be called twice.
func (s *Server) Down(tb testing.TB) {
	tb.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("stop postgres: %v", err)
	}
	s.ended.Wait()
	s.cmd = nil
}

// Database makes an empty database and returns its URL.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("covey%d", s.made.Add(1))
	s.Exec(tb, "postgres", "CREATE DATABASE "+name)
	return s.url(name)
}

// Exec runs one statement in a database, as its owner.
func (s *Server) Exec(tb testing.TB, database, statement string) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), s.url(database))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(tb.Context(), statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

func (s *Server) url(database string) string {
	return "postgres:///" + database + "?" + url.Values{"host": {s.dir}, "user": {owner}}.Encode()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) init(tb testing.TB) {
	tb.Helper()
	cmd := s.command("initdb", "-D", s.data(), "-U", owner, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, out)
	}
}

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...) //nolint:noctx // Down ends it, in order
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "LC_ALL=C", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true} // a terminal's ^C is for the tests
	return cmd
}

// chooseUser gives the directory to an unprivileged user if we are root.
func (s *Server) chooseUser() error {
	if os.Getuid() != 0 {
		return nil
	}
	for name := range strings.SplitSeq(unprivileged, ",") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return fmt.Errorf("read id of user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return fmt.Errorf("read group of user %s: %w", name, err)
		}
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.dir, int(uid), int(gid)); err != nil {
			return fmt.Errorf("give directory to user %s: %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("postgres does not run as root, and there is no user of %s", unprivileged)
}

// find returns the folder with initdb: on the path, or the newest of Debian's.
func find() (string, error) {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is right
	slices.SortFunc(folders, func(a, b string) int { return version(b) - version(a) })
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			folders = append([]string{filepath.Dir(p)}, folders...)
		}
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, "postgres")); err == nil {
			return folder, nil
		}
	}
	return "", errors.New("no Postgres is installed; on Debian: apt-get install postgresql")
}

func version(folder string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder))) // 0 is the oldest
	return n
}
