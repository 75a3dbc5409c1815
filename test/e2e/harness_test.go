package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) {
	testetcd.Main()
	testleak.Main(m)
}

const (
	startTimeout = 60 * time.Second // a loaded machine, not a goal
	stopTimeout  = 60 * time.Second // likewise
	patience     = time.Minute      // for what must come, but not at once
)

// programs builds each program once for all tests.
type programs struct {
	once sync.Once
	dir  string
	err  error
}

var built programs

// program returns the path of one program.
func program(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv("COVEY_BIN"); dir != "" {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("COVEY_BIN has no %s: %v; run `make build judges`", name, err)
		}
		return path
	}
	built.once.Do(func() {
		root := filepath.Join("..", "..")
		built.dir, built.err = filepath.Abs(filepath.Join(root, "bin"))
		if built.err != nil {
			return
		}
		cmd := exec.Command("make", "-C", root, "build", "judges")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = errors.New(string(out))
		}
	})
	if built.err != nil {
		t.Fatalf("build programs: %v", built.err)
	}
	return filepath.Join(built.dir, name)
}

// log collects what a process says, for reading while it runs.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// home is one user's machine: contexts, data, environment.
type home struct {
	t    *testing.T
	dir  string
	data string
	env  []string
	log  *log
}

func newHome(t *testing.T) *home {
	t.Helper()
	if testing.Short() {
		t.Skip("end-to-end tests take real processes")
	}
	dir := t.TempDir()
	h := &home{t: t, dir: dir, data: filepath.Join(dir, "data"), log: &log{}}
	h.env = []string{
		"HOME=" + dir, "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"), "XDG_DATA_HOME=" + filepath.Join(dir, "share"),
		"PATH=" + os.Getenv("PATH"), "NO_COLOR=1",
	}
	t.Cleanup(func() {
		checkNoSecrets(t, h.log.String())
		if t.Failed() {
			t.Logf("log of covey up:\n%s", tail(h.log.String(), 200))
		}
	})
	return h
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// secrets are seeds of any nkey, and API keys.
var secrets = regexp.MustCompile(`\bS[OAUNCX][A-Z2-7]{56}\b|covey_[A-Za-z0-9-]+_[A-Za-z0-9_-]{43}`)

func checkNoSecrets(t *testing.T, text string) {
	t.Helper()
	if found := secrets.FindString(text); found != "" {
		t.Errorf("a secret is in the log: %s...", found[:8])
	}
}

// ready is what `covey up --json` prints.
type ready struct {
	NATSURL      string `json:"nats_url"`
	APIAddr      string `json:"api_addr"`
	HTTPURL      string `json:"http_url"`
	MonitorURL   string `json:"monitor_url"`
	DataDir      string `json:"data_dir"`
	AdminContext string `json:"admin_context"`
	Brokers      []struct {
		Name       string `json:"name"`
		NATSURL    string `json:"nats_url"`
		MonitorURL string `json:"monitor_url"`
	} `json:"brokers"`
}

// box is a running `covey up`.
type box struct {
	*home
	ready

	cmd    *exec.Cmd
	exited chan struct{} // closed when Wait has returned
	err    error         // of Wait; written before exited is closed
}

func anyPorts() []string {
	return []string{"--nats-port", "0", "--monitor-port", "0", "--api-port", "0", "--fleet-port", "0", "--http-port", "0", "--otlp-port", "0"}
}

// samePorts are the flags for the client ports that r had.
func samePorts(t *testing.T, r ready) []string {
	t.Helper()
	u, err := url.Parse(r.NATSURL)
	if err != nil {
		t.Fatal(err)
	}
	return append(anyPorts(), "--nats-port", u.Port())
}

// up starts `covey up` and waits until it is ready.
func (h *home) up(flags ...string) *box {
	h.t.Helper()
	cmd := exec.Command(program(h.t, "covey"), append([]string{"up", "--json", "--data", h.data}, flags...)...)
	cmd.Env, cmd.Stderr = h.env, h.log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	b := &box{home: h, cmd: cmd, exited: make(chan struct{})}
	line := make(chan string, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(b.exited)
		first, _ := bufio.NewReader(stdout).ReadString('\n')
		line <- first
		_, _ = io.Copy(io.Discard, stdout)
		b.err = cmd.Wait()
	})
	h.t.Cleanup(func() {
		b.stop()
		wg.Wait()
	})
	select {
	case text := <-line:
		if err := json.Unmarshal([]byte(text), &b.ready); err != nil {
			h.t.Fatalf("ready line %q: %v", text, err)
		}
	case <-time.After(startTimeout):
		_ = cmd.Process.Kill()
		h.t.Fatal("covey up was not ready in time")
	}
	h.t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
	return b
}

// stop interrupts and waits; the exit code must be 0.
func (b *box) stop() {
	b.t.Helper()
	select {
	case <-b.exited:
		return // ended by the test
	default:
	}
	began := time.Now()
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
		b.t.Logf("drained in %s", time.Since(began).Round(time.Millisecond))
		if b.err != nil {
			b.t.Errorf("covey up ended with %v", b.err)
		}
	case <-time.After(stopTimeout):
		_ = b.cmd.Process.Kill()
		<-b.exited
		b.t.Errorf("covey up did not drain within %s", stopTimeout)
	}
}

// kill ends the process without warning.
func (b *box) kill() {
	b.t.Helper()
	if err := b.cmd.Process.Kill(); err != nil {
		b.t.Fatal(err)
	}
	<-b.exited
}

// outcome is how a program ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs one program to its end.
func (h *home) run(name string, args ...string) outcome {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), program(h.t, name), args...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = h.env, &stdout, &stderr
	err := cmd.Run()
	exit, isExit := errors.AsType[*exec.ExitError](err)
	if err != nil && !isExit {
		h.t.Fatalf("%s %v: %v", name, args, err)
	}
	o := outcome{stdout: stdout.String(), stderr: stderr.String()}
	if isExit {
		o.code = exit.ExitCode()
	}
	return o
}

// covey runs the command line and fails the test unless it succeeds.
func (h *home) covey(args ...string) string {
	h.t.Helper()
	o := h.run("covey", args...)
	if o.code != 0 {
		h.t.Fatalf("covey %s: exit code %d: %s", strings.Join(args, " "), o.code, o.stderr)
	}
	return o.stdout
}

// coveyJSON is covey with --json, decoded into v.
func (h *home) coveyJSON(v any, args ...string) {
	h.t.Helper()
	out := h.covey(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		h.t.Fatalf("covey %s printed %q: %v", strings.Join(args, " "), out, err)
	}
}

// tenant is what `covey signup --json` prints.
type tenant struct {
	Organization     string `json:"organization"`
	Account          string `json:"account"`
	AccountPublicKey string `json:"account_public_key"`
	User             string `json:"user"`
	CredsFile        string `json:"creds_file"`
	Context          string `json:"context"`
}

func (h *home) signUp(org string) tenant {
	h.t.Helper()
	var got tenant
	h.coveyJSON(&got, "signup", "--org", org, "--email", "ops@"+org+".example")
	if got.Organization != "organizations/"+org || got.Context != org || !strings.HasPrefix(got.Account, got.Organization+"/accounts/") ||
		!strings.HasPrefix(got.User, got.Account+"/users/") || !strings.HasPrefix(got.AccountPublicKey, "A") {
		h.t.Errorf("signup printed %+v", got)
	}
	info, err := os.Stat(got.CredsFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		h.t.Errorf("credentials file: %v, %v", info, err)
	}
	return got
}

// connect is nats.go with a credentials file.
func (b *box) connect(creds string, opts ...nats.Option) *nats.Conn {
	b.t.Helper()
	nc, err := nats.Connect(b.NATSURL, append([]nats.Option{nats.UserCredentials(creds), nats.Timeout(patience)}, opts...)...)
	if err != nil {
		b.t.Fatalf("connect: %v", err)
	}
	b.t.Cleanup(nc.Close)
	return nc
}

// eventually polls until f is content.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		if f() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func subscribe(t *testing.T, nc *nats.Conn, subject, queue string) *nats.Subscription {
	t.Helper()
	sub, err := nc.QueueSubscribeSync(subject, queue)
	if err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
	return sub
}

func flush(t *testing.T, nc *nats.Conn) {
	t.Helper()
	if err := nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, nc *nats.Conn, subject, body string) {
	t.Helper()
	if err := nc.Publish(subject, []byte(body)); err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
}

func next(t *testing.T, sub *nats.Subscription) *nats.Msg {
	t.Helper()
	m, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatalf("receive on %s: %v", sub.Subject, err)
	}
	return m
}
