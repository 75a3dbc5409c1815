package dropin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/test/conformance/proc"
)

// patience is long because the machine may be busy.
const patience = time.Minute

// both runs a test with each server as the nats-server on PATH.
func both(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	judge, err := proc.Judge(t.Context(), "")
	must(t, err)
	for _, s := range []struct{ name, path string }{{"nats-server", judge}, {"ours", subject(t)}} {
		t.Run(s.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.Symlink(s.path, filepath.Join(dir, "nats-server")))
			t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
			t.Setenv("TMPDIR", t.TempDir())
			test(t)
		})
	}
}

// subject returns the path of our broker.
func subject(t *testing.T) string {
	t.Helper()
	if testing.Short() && os.Getenv(proc.BinEnv) == "" {
		t.Skip(proc.BinEnv + " is not set, and building takes long")
	}
	path, err := proc.Subject(t.Context(), t.TempDir())
	must(t, err)
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// process is a nats-server that was started by name.
type process struct {
	*exec.Cmd
	out  *output
	done chan struct{} // closed when it has ended
}

// output is what a process wrote, which can be read while it writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start starts nats-server, which is killed when the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), "nats-server", args...), out: &output{}, done: make(chan struct{})}
	p.Stdout, p.Stderr = p.out, p.out
	must(t, p.Start())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(p.done)
		_ = p.Wait() // the exit code is looked at by those who want it
	})
	t.Cleanup(func() {
		_ = p.Process.Kill() // it may have ended
		wg.Wait()
		if t.Failed() {
			t.Logf("nats-server %s:\n%s", strings.Join(args, " "), p.out.String())
		}
	})
	return p
}

// run runs nats-server until it ends by itself.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, e bytes.Buffer
	c := exec.CommandContext(t.Context(), "nats-server", args...)
	c.Stdout, c.Stderr = &out, &e
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), e.String()
}

// says waits for a line of the output.
func (p *process) says(t *testing.T, what string) {
	t.Helper()
	eventually(t, "the line "+what, func() bool {
		select {
		case <-p.done:
			if !strings.Contains(p.out.String(), what) {
				t.Fatalf("it ended without %q", what)
			}
		default:
		}
		return strings.Contains(p.out.String(), what)
	})
}

// ends waits for the end and returns the exit code.
func (p *process) ends(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatal("it does not end")
		return -1
	}
}

func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	must(t, p.Process.Signal(sig))
}

// ports waits for the ports file in a directory.
func (p *process) ports(t *testing.T, dir string) (v struct{ Nats, Monitoring, Cluster []string }) {
	t.Helper()
	file := filepath.Join(dir, "nats-server_"+strconv.Itoa(p.Process.Pid)+".ports")
	eventually(t, file, func() bool {
		text, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(text, &v) == nil
	})
	return v
}

// conf writes a configuration file.
func conf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// freePort returns a port that was free a moment ago, as harnesses find them.
func freePort(t *testing.T) string {
	t.Helper()
	port, err := proc.FreePort()
	must(t, err)
	return strconv.Itoa(port)
}

// talk connects, publishes to itself and leaves.
func talk(t *testing.T, url string, opts ...nats.Option) {
	t.Helper()
	nc, err := nats.Connect(url, append(opts, nats.MaxReconnects(0), nats.Timeout(patience))...)
	must(t, err)
	defer nc.Close()
	sub, err := nc.SubscribeSync("hello")
	must(t, err)
	must(t, nc.Publish("hello", []byte("world")))
	m, err := sub.NextMsg(patience)
	must(t, err)
	if string(m.Data) != "world" {
		t.Errorf("got %q", m.Data)
	}
}

func get(t *testing.T, url string) (map[string]any, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	var v map[string]any
	return v, json.Unmarshal(text, &v)
}

// answers waits for monitoring.
func answers(t *testing.T, url string) (v map[string]any) {
	t.Helper()
	eventually(t, url, func() (ok bool) {
		var err error
		v, err = get(t, url)
		return err == nil
	})
	return v
}
