package natscmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/natscmd"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

const patience = time.Minute

// stock starts the stock server: these commands work with any.
func stock(t *testing.T, change func(*server.Options)) string {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, MaxPayload: 1 << 20}
	if change != nil {
		change(opts)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("the stock server is not ready")
	}
	return s.ClientURL()
}

// restricted is a user that may publish to ok only, and subscribe to ok only.
func restricted(o *server.Options) {
	o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"ok"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"ok", "_INBOX.>"}},
	}}}
}

// result is how a command ended.
type result struct {
	fault  *term.Fault // nil when it succeeded
	stdout string
	stderr string
}

type shared struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// command is a run with everything around it.
type command struct {
	context *contexts.Context
	in      string
	json    bool
	chatter *shared // as it grows
}

func (c command) run(ctx context.Context, args ...string) result {
	out, chatter := &shared{}, c.chatter
	if chatter == nil {
		chatter = &shared{}
	}
	streams := &term.Streams{In: strings.NewReader(c.in), Out: out, Err: chatter, JSON: c.json}
	root := &cobra.Command{Use: "covey", SilenceErrors: true, SilenceUsage: true}
	root.SetOut(io.Discard)
	root.AddCommand(natscmd.Commands(streams, func() (*contexts.Context, error) { return c.context, nil })...)
	root.SetArgs(args)
	r := result{}
	if err := root.ExecuteContext(ctx); err != nil {
		r.fault = term.AsFault(err)
	}
	r.stdout, r.stderr = out.String(), chatter.String()
	return r
}

func run(t *testing.T, args ...string) result {
	t.Helper()
	return command{}.run(t.Context(), args...)
}

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestPubSendsBodyHeadersCountAndLines(t *testing.T) {
	url := stock(t, nil)
	nc := connect(t, url)
	sub, err := nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	expect := func(r result, bodies ...string) {
		t.Helper()
		if r.fault != nil {
			t.Fatalf("pub: %v", r.fault)
		}
		for _, body := range bodies {
			m, err := sub.NextMsg(patience)
			if err != nil || string(m.Data) != body {
				t.Fatalf("message = %v, %v; want %q", m, err, body)
			}
			if m.Subject == "with" && m.Header.Get("A") != "b: c" {
				t.Errorf("header = %v", m.Header)
			}
		}
	}
	expect(run(t, "pub", "-s", url, "with", "body", "-H", "A: b: c", "--count", "2"), "body", "body")
	expect(command{in: "from stdin\n"}.run(t.Context(), "pub", "-s", url, "x"), "from stdin\n")
	expect(command{in: "one\ntwo"}.run(t.Context(), "pub", "-s", url, "x", "--lines"), "one", "two")
	r := command{json: true}.run(t.Context(), "pub", "-s", url, "x", "12345", "--count", "3")
	expect(r, "12345", "12345", "12345")
	if r.stdout != `{"subject":"x","messages":3,"bytes":15}`+"\n" || r.stderr != "" {
		t.Errorf("printed %q, %q", r.stdout, r.stderr)
	}
}

func TestRefusalsOfTheServerFailTheCommand(t *testing.T) {
	url := stock(t, restricted)
	login := []string{"-s", url, "--user", "u", "--password", "p"}
	for name, tc := range map[string]struct {
		args []string
		code int
	}{
		"publish violation":   {append([]string{"pub", "forbidden", "x"}, login...), term.ExitAuth},
		"subscribe violation": {append([]string{"sub", "forbidden"}, login...), term.ExitAuth},
		"reply violation":     {append([]string{"reply", "forbidden"}, login...), term.ExitAuth},
		"request violation":   {append([]string{"req", "forbidden", "x"}, login...), term.ExitAuth},
		"no credentials":      {[]string{"pub", "ok", "x", "-s", url}, term.ExitAuth},
		"nobody listens":      {[]string{"pub", "ok", "x", "-s", "nats://127.0.0.1:1"}, term.ExitFailure},
		"no responders":       {append([]string{"req", "ok", "x"}, login...), term.ExitFailure},
		"bad header":          {append([]string{"pub", "ok", "x", "-H", "none"}, login...), term.ExitUsage},
		"bad subject":         {append([]string{"pub", "", "x"}, login...), term.ExitUsage},
		"bad count":           {append([]string{"pub", "ok", "x", "--count", "0"}, login...), term.ExitUsage},
	} {
		if r := run(t, tc.args...); r.fault == nil || r.fault.Code != tc.code {
			t.Errorf("%s: %+v, want exit code %d", name, r.fault, tc.code)
		}
	}
	if r := run(t, append([]string{"pub", "ok", "x"}, login...)...); r.fault != nil {
		t.Errorf("allowed: %v", r.fault)
	}
}

func TestTooLargeIsSaidBeforeItIsSent(t *testing.T) {
	url := stock(t, func(o *server.Options) { o.MaxPayload = 1024 })
	r := command{in: strings.Repeat("x", 2000)}.run(t.Context(), "pub", "-s", url, "x")
	if r.fault == nil || r.fault.Code != term.ExitQuota {
		t.Errorf("standard input: %+v", r.fault)
	}
	if r := run(t, "pub", "-s", url, "x", strings.Repeat("x", 2000)); r.fault == nil || r.fault.Code != term.ExitQuota {
		t.Errorf("argument: %+v", r.fault)
	}
}

// background runs a command until the test ends it, once it says listening.
func background(t *testing.T, c command, listening string, args ...string) (stop func() result) {
	t.Helper()
	c.chatter = &shared{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var r result
	wg.Go(func() { r = c.run(ctx, args...) })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !strings.Contains(c.chatter.String(), listening); <-tick.C {
		if time.Now().After(deadline) {
			cancel()
			wg.Wait()
			t.Fatalf("never said %q: %+v", listening, r)
		}
	}
	stop = func() result {
		cancel()
		wg.Wait()
		return r
	}
	t.Cleanup(func() { stop() })
	return stop
}

func TestReplyAnswersReq(t *testing.T) {
	url := stock(t, nil)
	stop := background(t, command{}, "Answering", "reply", "-s", url, "echo")
	if r := run(t, "req", "-s", url, "echo", "ping"); r.fault != nil || r.stdout != "ping\n" {
		t.Errorf("req = %+v", r)
	}
	if r := stop(); r.fault != nil || !strings.Contains(r.stderr, "Answered 1 requests.") {
		t.Errorf("reply = %+v", r)
	}
	background(t, command{}, "Answering", "reply", "-s", url, "fixed", "42")
	r := command{json: true}.run(t.Context(), "req", "-s", url, "fixed", "x")
	var m struct{ Data string }
	if err := json.Unmarshal([]byte(r.stdout), &m); err != nil || m.Data != "42" {
		t.Errorf("req = %+v, %v", r, err)
	}
	if r := run(t, "req", "-s", url, "fixed", "x", "--replies", "2", "--timeout", "200ms"); r.fault == nil || r.fault.Code != term.ExitPartial {
		t.Errorf("one of two answers: %+v", r.fault)
	}
}

func TestSubPrintsCountsAndShares(t *testing.T) {
	url := stock(t, nil)
	var wg sync.WaitGroup
	results := make([]result, 2)
	for i := range results {
		wg.Go(func() {
			c := command{json: true}
			results[i] = c.run(t.Context(), "sub", "-s", url, "work", "--queue", "q", "--timeout", "3s", "--count", "50")
		})
	}
	nc := connect(t, url)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for joined := false; !joined; <-tick.C { // both members answer for the subject once they are there
		reply, err := nc.Request("work", nil, 50*time.Millisecond)
		joined = reply != nil || errors.Is(err, nats.ErrTimeout)
	}
	for i := range 200 {
		if err := nc.Publish("work", []byte{byte(i), 0xff}); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	lines := 0
	for _, r := range results {
		lines += strings.Count(r.stdout, "\n")
	}
	if lines < 50 || lines > 100 || !strings.Contains(results[0].stdout+results[1].stdout, `"data_base64":"`) {
		t.Errorf("%d lines: %+v", lines, results)
	}
}

func TestSubEndsCleanlyOnInterrupt(t *testing.T) {
	url := stock(t, nil)
	stop := background(t, command{}, "Listening", "sub", "-s", url, "a.*")
	if r := run(t, "pub", "-s", url, "a.b", "hello", "-H", "K: v"); r.fault != nil {
		t.Fatal(r.fault)
	}
	background(t, command{}, "Answering", "reply", "-s", url, "after") // by now it was delivered
	if r := stop(); r.fault != nil || r.stdout != "[#1] a.b\nK: v\nhello\n" && r.stdout != "" {
		t.Errorf("sub = %+v", r)
	}
}

func TestSubTimeouts(t *testing.T) {
	url := stock(t, nil)
	if r := run(t, "sub", "-s", url, "quiet", "--timeout", "50ms"); r.fault != nil {
		t.Errorf("without count: %v", r.fault)
	}
	if r := run(t, "sub", "-s", url, "quiet", "--timeout", "50ms", "--count", "1"); r.fault == nil || r.fault.Code != term.ExitFailure {
		t.Errorf("with count: %+v", r.fault)
	}
}

func TestBenchCountsEverything(t *testing.T) {
	url := stock(t, nil)
	for name, tc := range map[string]struct {
		args     []string
		expected int64
	}{
		"fan out":  {[]string{"--pub", "2", "--sub", "3", "--msgs", "3001"}, 9003},
		"queue":    {[]string{"--pub", "2", "--sub", "3", "--msgs", "3000", "--queue", "q"}, 3000},
		"pub only": {[]string{"--sub", "0", "--msgs", "100"}, 0},
		"requests": {[]string{"--request", "--pub", "2", "--msgs", "101"}, 101},
	} {
		r := command{json: true}.run(t.Context(), append([]string{"bench", "-s", url, "--size", "16"}, tc.args...)...)
		var got struct {
			Expected, Received int64
			OutOfOrder         int64 `json:"out_of_order"`
		}
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.fault != nil || got.Received != tc.expected || got.Expected != tc.expected || got.OutOfOrder != 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if r := run(t, "bench", "-s", url, "--pub", "0", "--sub", "1", "--msgs", "5", "--timeout", "100ms"); r.fault == nil || r.fault.Code != term.ExitPartial {
		t.Errorf("nobody publishes: %+v", r.fault)
	}
	if r := run(t, "bench", "-s", url, "--size", "3"); r.fault == nil || r.fault.Code != term.ExitUsage {
		t.Errorf("size: %+v", r.fault)
	}
}

func TestContextSuppliesServerAndItsCredentialsOnlyThere(t *testing.T) {
	url := stock(t, nil)
	missing := filepath.Join(t.TempDir(), "missing.creds")
	c := command{context: &contexts.Context{NATSURL: url}}
	if r := c.run(t.Context(), "pub", "x", "y"); r.fault != nil {
		t.Errorf("server from the context: %v", r.fault)
	}
	c.context.CredsFile = missing
	if r := c.run(t.Context(), "pub", "x", "y"); r.fault == nil {
		t.Error("the context's credentials were not used")
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a missing file appeared")
	}
	c.context.NATSURL = "nats://127.0.0.1:1"
	if r := c.run(t.Context(), "pub", "x", "y", "-s", url); r.fault != nil {
		t.Errorf("another server got the context's credentials: %v", r.fault)
	}
}
