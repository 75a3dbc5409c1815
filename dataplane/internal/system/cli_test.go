package system_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/test/conformance/proc"
)

// tool is the stock command line tool, as a user of a server.
type tool struct {
	path, home string
	s          *subject
	user       string
}

// natsCLI finds or builds the tool, or skips the test when there is no time.
func natsCLI(t *testing.T) string {
	t.Helper()
	if testing.Short() && os.Getenv(proc.BinEnv) == "" {
		t.Skip("-short: the stock command line tool would have to be built")
	}
	path, err := proc.NATS(t.Context())
	must(t, err)
	return path
}

func (c *tool) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.path, append([]string{"-s", c.s.url, "--user", c.user, "--password", c.user}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+c.home, "XDG_CONFIG_HOME="+c.home)
	return cmd
}

func (c *tool) run(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	out, err := c.command(t.Context(), args...).CombinedOutput()
	return string(out), err == nil
}

var (
	serverIDs = regexp.MustCompile(`N[A-Z2-7]{55}|sha256:[0-9a-f]+`)
	figures   = regexp.MustCompile(`[0-9][0-9.,:]*( ?(ns|µs|ms|s|m|h|B|KiB|MiB|GiB|%))?|<1ms|never`)
	drawing   = regexp.MustCompile(`[\s─█]+`)
)

// plain returns what does not change from one run to the next.
func plain(text string) string {
	text, _, _ = strings.Cut(text, "Imports:") // see onlyTheirs
	text = figures.ReplaceAllString(serverIDs.ReplaceAllString(text, "ID"), "#")
	return drawing.ReplaceAllString(text, " ")
}

// shown reports whether what the tool prints is to be compared: not raw answers,
// nor bars that are there or not.
func shown(args string) bool {
	return !strings.Contains(args, "request") && !strings.HasSuffix(args, "cpu")
}

// The stock tool shows the same of both servers.
func TestStockToolReports(t *testing.T) {
	path := natsCLI(t)
	var tools [2][2]*tool
	for i, s := range []*subject{stock(t, basic), ours(t, basic)} {
		prepared(t, s)
		tools[i] = [2]*tool{{path, t.TempDir(), s, "sys"}, {path, t.TempDir(), s, "app"}}
	}
	for _, c := range []struct {
		user int
		args string
	}{
		{0, "server list"},
		{0, "server ping"},
		{0, "server ping --id"},
		{0, "server info one"},
		{0, "server report accounts"},
		{0, "server report connections"},
		{0, "server report connections --account APP --subscriptions --sort out-msgs"},
		{0, "server report cpu"},
		{0, "server report mem"},
		{0, "server report routes"},
		{0, "server report health"},
		{0, "server check connection"},
		{0, "server check server --name one"},
		{0, "server request connections --json"},
		{0, "server request jetstream"},
		{0, "server account info APP"},
		{0, "server account list"},
		{0, "account info"},
		{1, "account info"},
		{1, "account report connections"},
		{1, "account report statistics"},
		{1, "server list"},
		{1, "server report accounts"},
	} {
		want, wantOK := tools[0][c.user].run(t, strings.Fields(c.args)...)
		got, ok := tools[1][c.user].run(t, strings.Fields(c.args)...)
		if ok != wantOK || shown(c.args) && plain(want) != plain(got) {
			t.Errorf("nats %s of nats-server:\n%s\nof ours:\n%s", c.args, want, got)
		}
	}
}

// output is what a program has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

// Write keeps what is written.
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

// `nats server events` shows who comes and goes.
func TestStockToolEvents(t *testing.T) {
	path := natsCLI(t)
	for _, s := range []*subject{stock(t, basic), ours(t, basic)} {
		ctx, cancel := context.WithCancel(t.Context())
		var out output
		cmd := (&tool{path, t.TempDir(), s, "sys"}).command(ctx, "events", "--srv-advisory")
		cmd.Stdout, cmd.Stderr = &out, &out
		must(t, cmd.Start())
		eventually(t, "the tool listens", func() bool { return strings.Contains(out.String(), "Listening for") })
		eventually(t, "a connect is shown", func() bool {
			s.as(t, "app", nats.Name("tenant")).Close()
			return strings.Count(out.String(), "Client Connection") > 1 && strings.Contains(out.String(), "tenant") // once the tool says what it listens for
		})
		if text := out.String(); !strings.Contains(text, "tenant") || !strings.Contains(text, "APP") {
			t.Errorf("%s: %s", s.name, text)
		}
		cancel()
		_ = cmd.Wait() // killed
	}
}

// What the stock tool makes and pushes is in force: an operator, an account and
// its user, and a change of the account.
func TestStockToolPushesAccounts(t *testing.T) {
	path := natsCLI(t)
	home := t.TempDir()
	as := func(s *subject, user string, args ...string) (string, error) {
		if s != nil {
			args = append([]string{"-s", s.url, "--creds", filepath.Join(home, user+".creds")}, args...)
		}
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Dir, cmd.Env = home, append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_DATA_HOME="+home)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	nats := func(s *subject, args ...string) (string, error) { return as(s, "admin", args...) }
	for _, line := range []string{
		"auth operator add OP", "auth user add admin SYSTEM --operator OP --defaults --credential admin.creds",
		"auth account add A --operator OP --defaults", "auth user add u A --operator OP --defaults --credential u.creds",
	} {
		if out, err := nats(nil, strings.Fields(line)...); err != nil {
			t.Fatalf("nats %s: %v: %s", line, err, out)
		}
	}
	store := filepath.Join(home, "nats", "nsc", "stores", "OP")
	system, err := os.ReadFile(filepath.Join(store, "accounts", "SYSTEM", "SYSTEM.jwt"))
	must(t, err)
	claims, err := jwt.DecodeAccountClaims(strings.TrimSpace(string(system)))
	must(t, err)
	var reports [2]map[string]string
	for i, start := range []func(*testing.T, string) *subject{stock, func(t *testing.T, text string) *subject { return ours(t, text) }} {
		s := start(t, fmt.Sprintf("operator: %q\nresolver: {type: full, dir: %q}\nresolver_preload { %s: %s }\n",
			filepath.Join(store, "OP.jwt"), filepath.Join(home, fmt.Sprint("jwt", i)), claims.Subject, strings.TrimSpace(string(system))))
		if out, err := nats(s, "auth", "account", "push", "A", "--operator", "OP"); err != nil {
			t.Fatalf("%s: push: %v: %s", s.name, err, out)
		}
		if out, err := as(s, "u", "account", "info"); err != nil || !strings.Contains(out, "A (A") && !strings.Contains(out, "(A)") {
			t.Errorf("%s: account info: %v: %s", s.name, err, out)
		}
		reports[i] = map[string]string{}
		for _, line := range []string{"server report accounts", "server report connections", "server list", "server account list", "account info"} {
			out, err := nats(s, strings.Fields(line)...)
			reports[i][line] = fmt.Sprintf("%s %v", plain(out), err)
		}
		if out, err := nats(nil, "auth", "user", "credential", fmt.Sprintf("again%d.creds", i), "u", "A", "--operator", "OP"); err != nil {
			t.Fatalf("credential: %v: %s", err, out)
		}
		if out, err := as(s, fmt.Sprint("again", i), "account", "info"); err != nil {
			t.Errorf("%s: credentials made later: %v: %s", s.name, err, out)
		}
		if out, err := nats(nil, "auth", "account", "edit", "A", "--operator", "OP", "--connections", "0"); err != nil {
			t.Fatalf("edit: %v: %s", err, out)
		}
		if out, err := nats(s, "auth", "account", "push", "A", "--operator", "OP"); err != nil {
			t.Fatalf("%s: push: %v: %s", s.name, err, out)
		}
		if out, err := as(s, "u", "account", "info"); err == nil {
			t.Errorf("%s: an account without connections has some: %s", s.name, out)
		}
		if out, err := nats(s, "auth", "account", "query", "A", "pulled.jwt", "--operator", "OP"); err != nil {
			t.Errorf("%s: query: %v: %s", s.name, err, out)
		}
		if out, err := nats(nil, "auth", "account", "edit", "A", "--operator", "OP", "--connections=-1"); err != nil {
			t.Fatalf("edit: %v: %s", err, out)
		}
	}
	if diff := cmp.Diff(reports[0], reports[1]); diff != "" {
		t.Errorf("reports of nats-server (-) and ours (+):\n%s", diff)
	}
}
