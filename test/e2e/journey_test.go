package e2e_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestFirstStartMakesAnOperatorContextReadableByTheUserOnly(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	if b.AdminContext == "" || b.DataDir != h.data || b.HTTPURL == "" || b.MonitorURL == "" || b.APIAddr == "" {
		t.Errorf("ready = %+v", b.ready)
	}
	file := filepath.Join(h.dir, "config", "covey", "contexts", b.AdminContext+".json")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("operator's context: %v, %v", info, err)
	}
	if shown := h.covey("context", "show") + h.covey("context", "list", "--json"); secrets.MatchString(shown) {
		t.Error("the context commands print the key")
	}
	second := h.run("covey", append([]string{"up", "--data", h.data}, anyPorts()...)...)
	if second.code != 1 || !strings.Contains(second.stderr, "in use") || !strings.Contains(second.stderr, "next:") {
		t.Errorf("a second start on the same data: %+v", second)
	}
}

func TestPortInUseIsOneLineThatNamesTheFlag(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	other := newHome(t)
	got := other.run("covey", append([]string{"up", "--data", other.data}, samePorts(t, b.ready)...)...)
	if got.code != 1 || !strings.Contains(got.stderr, "--nats-port") {
		t.Errorf("port in use: %+v", got)
	}
}

func TestEverythingIsThereAfterARestartOnOtherPorts(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme := h.signUp("acme")
	h.covey("account", "create", "orders")
	h.covey("user", "create", "billing", "--account", "orders")
	b.stop()

	b = h.up(anyPorts()...)
	for _, want := range []struct{ text, in string }{
		{"orders", h.covey("account", "list")},
		{"billing", h.covey("user", "list", "--account", "orders")},
		{"acme", h.covey("--context", b.AdminContext, "org", "list")},
	} {
		if !strings.Contains(want.in, want.text) {
			t.Errorf("%s is missing in %q", want.text, want.in)
		}
	}
	nc := b.connect(acme.CredsFile)
	sub := subscribe(t, nc, "still.here", "")
	publish(t, nc, "still.here", "yes")
	next(t, sub)
	h.signUp("globex") // although acme's context is selected
}

func TestSignUpNeverReplacesWhatExists(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme := h.signUp("acme")
	before, err := os.ReadFile(acme.CredsFile)
	if err != nil {
		t.Fatal(err)
	}
	again := h.run("covey", "signup", "--org", "acme", "--email", "x@y.example")
	if again.code != 1 || !strings.Contains(again.stderr, "exists") || !strings.Contains(again.stderr, "next:") {
		t.Errorf("second signup: %+v", again)
	}
	if after, err := os.ReadFile(acme.CredsFile); err != nil || string(after) != string(before) {
		t.Errorf("the credentials file changed: %v", err)
	}
	taken := h.run("covey", "--context", b.AdminContext, "signup", "--org", "acme", "--email", "x@y.example", "--force")
	if taken.code == 0 || strings.Contains(taken.stderr, "internal") {
		t.Errorf("a name that is taken: %+v", taken)
	}
	h.covey("account", "list") // the context kept its key
}

// natsCLI starts the stock CLI in the background. It returns once that says that it
// listens; the channel is closed when it has said a text, or has ended.
func (b *box) natsCLI(creds, text string, args ...string) <-chan struct{} {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), program(b.t, "nats"), append([]string{"--server", b.NATSURL, "--creds", creds}, args...)...)
	cmd.Env = b.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	var reader sync.WaitGroup
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		reader.Wait()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "ubscribing on") || strings.Contains(lines.Text(), "istening on") {
			said := make(chan struct{})
			reader.Go(func() {
				defer close(said)
				for lines.Scan() && !strings.Contains(lines.Text(), text) {
				}
			})
			return said
		}
	}
	b.t.Fatalf("nats %v ended before it listened", args)
	return nil
}

func TestStockCLIPublishesSubscribesAndRequests(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	for _, org := range []string{"acme", "globex"} {
		who := h.signUp(org)
		base := []string{"--server", b.NATSURL, "--creds", who.CredsFile}

		heard := b.natsCLI(who.CredsFile, "hello from "+org, "sub", "greet.>")
		eventually(t, "nats sub", func() bool { // it says that it subscribes a moment before it does
			if o := h.run("nats", append(base, "pub", "greet.world", "hello from "+org)...); o.code != 0 {
				t.Fatalf("nats pub: %+v", o)
			}
			select {
			case <-heard:
				return true
			default:
				return false
			}
		})

		b.natsCLI(who.CredsFile, "42 "+org, "reply", "price", "42 "+org)
		eventually(t, "nats req", func() bool {
			o := h.run("nats", append(base, "req", "price", "", "--timeout", "2s")...)
			return o.code == 0 && strings.Contains(o.stdout, "42 "+org)
		})
	}
}

func TestOwnCommandsWorkThroughContextAndAgainstStockServers(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	who := h.signUp("acme")
	nc := b.connect(who.CredsFile)
	sub := subscribe(t, nc, "orders.*", "")
	h.covey("pub", "orders.new", "body", "-H", "Trace-Id: 42", "--count", "3")
	for range 3 {
		if m := next(t, sub); string(m.Data) != "body" || m.Header.Get("Trace-Id") != "42" {
			t.Errorf("message = %q, %v", m.Data, m.Header)
		}
	}
	if _, err := nc.Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
	if got := h.covey("req", "echo", "ping"); strings.TrimSpace(got) != "ping" {
		t.Errorf("req printed %q", got)
	}
	if o := h.run("covey", "req", "nobody.home", "x"); o.code != 1 || !strings.Contains(o.stderr, "nobody answers") {
		t.Errorf("request without responders: %+v", o)
	}
	var bench struct {
		Received, Expected int64
		OutOfOrder         int64 `json:"out_of_order"`
	}
	h.coveyJSON(&bench, "bench", "--msgs", "20000", "--pub", "2", "--sub", "2")
	if bench.Received != 40000 || bench.Expected != 40000 || bench.OutOfOrder != 0 {
		t.Errorf("bench = %+v", bench)
	}
}
