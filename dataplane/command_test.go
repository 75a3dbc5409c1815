package dataplane_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
)

// output is a log that can be read while it is written.
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

// program is a broker as a process, but in ours: signals go to the process, so
// that tests with programs do not run side by side.
type program struct {
	log  output
	url  string
	http string
	conf string
	dir  string
	done chan int

	caught chan os.Signal // every signal that signal sent, once it was handed out
}

// launch runs the program with a configuration until the test ends.
func launch(t *testing.T, conf string, args ...string) *program {
	t.Helper()
	p := &program{dir: t.TempDir(), done: make(chan int, 1)}
	p.conf = filepath.Join(p.dir, "broker.conf")
	p.write(t, conf)
	all := append([]string{"-c", p.conf, "-p", "-1", "--ports_file_dir", p.dir}, args...)
	if !strings.Contains(conf, "https") {
		all = append(all, "-m", "-1")
	}
	p.caught = make(chan os.Signal, 16) // more than a test sends
	signal.Notify(p.caught, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	t.Cleanup(func() { signal.Stop(p.caught) })
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.done <- dataplane.Command(ctx, all, "v-test", &p.log, &p.log) })
	t.Cleanup(func() {
		defer wg.Wait()
		cancel()
		p.signal(t, syscall.SIGINT) // a lame duck would take its time
		if code := p.exit(t); code != 0 {
			t.Errorf("exit code %d; log:\n%s", code, p.log.String())
		}
	})
	p.logged(t, "Server is ready")
	var ports struct{ Nats, Monitoring []string }
	text, err := os.ReadFile(p.portsFile())
	must(t, err)
	must(t, json.Unmarshal(text, &ports))
	p.url, p.http = ports.Nats[0], ports.Monitoring[0]
	return p
}

func (p *program) portsFile() string {
	return filepath.Join(p.dir, fmt.Sprintf("%s_%d.ports", filepath.Base(os.Args[0]), os.Getpid()))
}

func (p *program) write(t *testing.T, conf string) {
	t.Helper()
	must(t, os.WriteFile(p.conf, []byte(conf), 0o600))
}

// signal signals the program, which is this process. When it returns everybody
// who listens has the signal, so that it does not reach the next test's program;
// and because the test listens too, it never ends the tests.
func (p *program) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	must(t, syscall.Kill(os.Getpid(), sig))
	for got := range p.caught { // another one may be there, which the program sent itself
		if got == sig {
			return
		}
	}
}

func (p *program) exit(t *testing.T) int {
	t.Helper()
	select {
	case code := <-p.done:
		p.done <- code
		return code
	case <-time.After(time.Minute):
		t.Fatalf("it does not leave; log:\n%s", p.log.String())
		return -1
	}
}

func (p *program) logged(t *testing.T, want string) {
	t.Helper()
	eventually(t, "log line "+want, func() bool { return strings.Contains(p.log.String(), want) })
}

func (p *program) reload(t *testing.T, conf, outcome string) {
	t.Helper()
	before := strings.Count(p.log.String(), outcome)
	p.write(t, conf)
	p.signal(t, syscall.SIGHUP)
	eventually(t, outcome, func() bool { return strings.Count(p.log.String(), outcome) > before })
}

func (p *program) try(opts ...nats.Option) error {
	nc, err := natsConnect(p.url, append(opts, nats.MaxReconnects(0))...)
	if err == nil {
		nc.Close()
	}
	return err
}

func TestTheProgramSaysWhereItIs(t *testing.T) {
	dir := t.TempDir()
	pid := filepath.Join(dir, "pid")
	p := launch(t, "server_name: x", "-P", pid)
	must(t, p.try())
	for _, line := range []string{"] [INF] ", "Listening for client connections on 127.0.0.1:", "Server is ready"} {
		if line = strings.TrimPrefix(line, "] "); !strings.Contains(p.log.String(), line) {
			t.Errorf("no line %q in\n%s", line, p.log.String())
		}
	}
	text, err := os.ReadFile(pid)
	must(t, err)
	if string(text) != strconv.Itoa(os.Getpid()) {
		t.Errorf("pid file = %q", text)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(p.portsFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ports file is still there: %v", err)
	}
}

func TestTerminateDoesNotWaitForClients(t *testing.T) {
	p := launch(t, "")
	closed := make(chan error, 1)
	nc, err := natsConnect(p.url, nats.NoReconnect(), nats.ClosedHandler(func(nc *nats.Conn) { closed <- nc.LastError() }))
	must(t, err)
	defer nc.Close()
	p.signal(t, syscall.SIGTERM)
	p.exit(t)
	<-closed
}

func TestInterruptEndsALameDuck(t *testing.T) {
	p := launch(t, "lame_duck_duration: \"10m\", lame_duck_grace_period: \"5m\"")
	ducks := make(chan struct{}, 1)
	nc, err := natsConnect(p.url, nats.NoReconnect(), nats.LameDuckModeHandler(func(*nats.Conn) { ducks <- struct{}{} }))
	must(t, err)
	defer nc.Close()
	must(t, nc.Flush())
	p.signal(t, syscall.SIGUSR2)
	<-ducks
	p.logged(t, "Entering lame duck mode, stop accepting new clients")
	var d net.Dialer
	if c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(p.url, "nats://")); err == nil {
		_ = c.Close()
		t.Error("a lame duck takes new clients")
	}
	p.signal(t, syscall.SIGTERM) // changes nothing
	p.logged(t, `Trapped "terminated" signal`)
	if !nc.IsConnected() {
		t.Error("the client is gone before its time")
	}
	p.signal(t, syscall.SIGINT)
	p.exit(t)
}

func TestReloadChangesWhoMayConnect(t *testing.T) {
	const users = `authorization { users: [ {user: a, password: a}, {user: b, password: b}, {user: c, password: c} ] }`
	p := launch(t, users)
	gone := make(chan string, 3)
	as := func(name string) *nats.Conn {
		nc, err := natsConnect(p.url, nats.UserInfo(name, name), nats.NoReconnect(),
			nats.ClosedHandler(func(*nats.Conn) { gone <- name }))
		must(t, err)
		t.Cleanup(nc.Close)
		return nc
	}
	a, _, c := as("a"), as("b"), as("c")
	const changed = `authorization { users: [ {user: a, password: a}, {user: c, password: c, permissions: {subscribe: {deny: secret}}}, {user: d, password: d} ] }`
	sub, err := c.SubscribeSync("secret")
	must(t, err)
	must(t, c.Flush())
	p.reload(t, changed, "Reloaded server configuration")
	if who := <-gone; who != "b" {
		t.Errorf("%s was disconnected", who)
	}
	if err := p.try(nats.UserInfo("b", "b")); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("b: %v", err)
	}
	must(t, p.try(nats.UserInfo("d", "d")))
	must(t, a.Flush())
	must(t, a.Publish("secret", nil))
	must(t, a.Flush())
	must(t, c.Flush())
	if m, err := sub.NextMsg(time.Millisecond); err == nil {
		t.Errorf("got %q on a subject that is denied by now", m.Subject)
	}
	select {
	case who := <-gone:
		t.Errorf("%s was disconnected", who)
	default:
	}
}

func TestABadReloadLeavesWhatRuns(t *testing.T) {
	p := launch(t, "authorization { token: right }")
	for conf, why := range map[string]string{
		"authorization { token: wrong }, surprise: 1":          `unknown field "surprise"`,
		"authorization { token: wrong }, gateway {}":           `"gateway" is not supported yet`,
		"authorization { token: wrong }, cluster { port: -1 }": "config reload not supported for cluster",
		"authorization { token: wrong }, server_name: y":       "not supported for server_name",
		"authorization { token: wrong }, logfile: /no/dir/":    "open log file",
		"authorization {": "Failed to reload server configuration",
	} {
		p.reload(t, conf, "Failed to reload server configuration: ")
		if !strings.Contains(p.log.String(), why) {
			t.Errorf("%s: no %q in\n%s", conf, why, p.log.String())
		}
		must(t, p.try(nats.Token("right")))
	}
}

func TestReloadChangesLimitsAndLevels(t *testing.T) {
	p := launch(t, "max_payload: 1000")
	payload := func() int64 {
		nc, err := natsConnect(p.url)
		must(t, err)
		defer nc.Close()
		return nc.MaxPayload()
	}
	if n := payload(); n != 1000 {
		t.Errorf("max_payload = %d", n)
	}
	p.reload(t, "max_payload: 2000, debug: true, max_connections: 1", "Reloaded server configuration")
	var nc *nats.Conn
	eventually(t, "the first connection is gone", func() (ok bool) {
		var err error
		nc, err = natsConnect(p.url)
		return err == nil
	})
	defer nc.Close()
	if n := nc.MaxPayload(); n != 2000 {
		t.Errorf("max_payload = %d", n)
	}
	if err := p.try(); err == nil || !strings.Contains(err.Error(), "maximum connections exceeded") {
		t.Errorf("the second connection: %v", err)
	}
}

func TestAccountsAreApart(t *testing.T) {
	p := launch(t, `accounts { A { users: [ {user: a, password: a} ] }, B { users: [ {user: b, password: b} ] } }`)
	a, err := natsConnect(p.url, nats.UserInfo("a", "a"))
	must(t, err)
	defer a.Close()
	b, err := natsConnect(p.url, nats.UserInfo("b", "b"))
	must(t, err)
	defer b.Close()
	sub, err := b.SubscribeSync(">")
	must(t, err)
	must(t, b.Flush())
	must(t, a.Publish("x", nil))
	must(t, a.Flush())
	must(t, b.Publish("y", nil))
	m, err := sub.NextMsg(time.Minute)
	must(t, err)
	if m.Subject != "y" {
		t.Errorf("got %s of another account", m.Subject)
	}
}

func TestTheLogFileIsReopenedAndSignalsGoByName(t *testing.T) {
	dir := t.TempDir()
	name, pid := filepath.Join(dir, "log"), filepath.Join(dir, "pid")
	p := launch(t, "", "-P", pid)
	p.write(t, "logfile: "+strconv.Quote(name))
	send := func(command string) {
		if code := dataplane.Command(t.Context(), []string{"--signal", command + "=" + pid}, "", &p.log, &p.log); code != 0 {
			t.Errorf("signal %s: %d", command, code)
		}
	}
	send("reload")
	inFile := func(line string) {
		eventually(t, line, func() bool {
			text, _ := os.ReadFile(name)
			return strings.Contains(string(text), line)
		})
	}
	inFile("Reloaded server configuration")
	must(t, os.Rename(name, name+".1"))
	send("reopen")
	inFile("File log re-opened")
}

func TestCommandsThatDoNotServe(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.conf")
	must(t, os.WriteFile(bad, []byte("port: x\nsurprise: 1\n"), 0o600))
	good := filepath.Join(t.TempDir(), "good.conf")
	must(t, os.WriteFile(good, []byte("port: 4222\n"), 0o600))
	for _, c := range []struct {
		args, out, err string
		code           int
	}{
		{args: "-v", out: "nats-server: v2.15.2\ncovey-broker: v-test\n"},
		{args: "--version", out: "nats-server: v2.15.2\n"},
		{args: "-h", out: "Usage: covey-broker"},
		{args: "-t -c " + good, err: "configuration file " + good + " is valid (sha256:"},
		{args: "-t -c " + bad, err: bad + `:2:1: unknown field "surprise"`, code: 1},
		{args: "-c " + bad, err: "port must be an integer", code: 1},
		{args: "--nonsense", err: "not defined", code: 1},
		{args: "--signal dance=1", err: `unknown signal "dance"`, code: 1},
		{args: "--signal reload=-1", err: "invalid pid: -1", code: 1},
		{args: "--signal reload=/no/such/pid", err: "invalid pid", code: 1},
	} {
		var out, stderr bytes.Buffer
		code := dataplane.Command(t.Context(), strings.Fields(c.args), "v-test", &out, &stderr)
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(stderr.String(), c.err) {
			t.Errorf("%s: code %d\nout: %s\nerr: %s", c.args, code, out.String(), stderr.String())
		}
	}
}
