package up

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

// journal notes the order of things.
type journal struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (j *journal) note(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, s)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, " ")
}

// fakePart listens, greets and notes when it starts and stops.
type fakePart struct {
	name     string
	journal  *journal
	listener net.Listener
	greeting string
	fail     error // returned by Run at once
	key      string
	token    error
	peers    int
}

func newFake(t *testing.T, j *journal, name, greeting string) *fakePart {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &fakePart{name: name, journal: j, listener: l, greeting: greeting}
}

func (f *fakePart) Run(ctx context.Context) error {
	f.journal.note("+" + f.name)
	defer f.journal.note("-" + f.name)
	defer context.AfterFunc(ctx, func() { _ = f.listener.Close() })()
	if f.fail != nil {
		return f.fail
	}
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return nil // closed by the end of ctx
		}
		_, _ = conn.Write([]byte(f.greeting))
		_ = conn.Close()
	}
}

func (f *fakePart) addr() string              { return f.listener.Addr().String() }
func (f *fakePart) APIAddr() string           { return f.addr() }
func (f *fakePart) HTTPAddr() string          { return f.addr() }
func (f *fakePart) FleetAddr() string         { return f.addr() }
func (f *fakePart) OTLPAddr() string          { return f.addr() }
func (f *fakePart) OperatorPublicKey() string { return "OPERATOR" }
func (f *fakePart) BootstrapKey() string      { return f.key }
func (f *fakePart) ClientURL() string         { return "nats://" + f.addr() }
func (f *fakePart) MonitorURL() string        { return "http://" + f.addr() }
func (f *fakePart) RouteURL() string          { return "nats-route://" + f.addr() }
func (f *fakePart) Peers() int                { return f.peers }
func (f *fakePart) JoinToken(context.Context, time.Duration) (string, error) {
	return "join-secret", f.token
}

type fixture struct {
	*assembly

	journal *journal
	cp      *fakePart
	broker  *fakePart
	out     *bytes.Buffer
	chatter *bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{journal: &journal{}, out: &bytes.Buffer{}, chatter: &bytes.Buffer{}}
	f.cp = newFake(t, f.journal, "control", "")
	f.broker = newFake(t, f.journal, "broker", "INFO {}\r\n")
	f.cp.key = "covey_id_first"
	f.assembly = &assembly{
		opts:     &Options{DataDir: filepath.Join(t.TempDir(), "data"), Brokers: 1},
		streams:  &term.Streams{Out: f.out, Err: f.chatter, JSON: true},
		contexts: contexts.Open(filepath.Join(t.TempDir(), "config")),
		free:     func(string) (uint64, error) { return 1 << 40, nil },
		parts: Parts{
			ControlPlane: func(context.Context, ControlPlaneConfig) (ControlPlane, error) { return f.cp, nil },
			Broker:       func(context.Context, BrokerConfig) (Broker, error) { return f.broker, nil },
		},
	}
	return f
}

// cancelWhenReady ends the run once something was announced.
type cancelWhenReady struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (w *cancelWhenReady) Write(p []byte) (int, error) {
	defer w.cancel()
	return w.Buffer.Write(p)
}

// runUntilReady starts everything and interrupts it as soon as it is ready.
func (f *fixture) runUntilReady(t *testing.T) (map[string]string, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &cancelWhenReady{cancel: cancel}
	f.streams.Out = out
	err := f.run(ctx)
	ready := map[string]string{}
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &ready); err != nil {
			t.Fatalf("ready line %q: %v", out.String(), err)
		}
	}
	return ready, err
}

func TestStartAnnouncesOnceAndDrainsBrokerFirst(t *testing.T) {
	f := newFixture(t)
	ready, err := f.runUntilReady(t)
	if err != nil {
		t.Fatalf("run = %v; chatter: %s", err, f.chatter)
	}
	want := map[string]string{
		"nats_url": f.broker.ClientURL(), "api_addr": f.cp.addr(), "http_url": "http://" + f.cp.addr(),
		"monitor_url": f.broker.MonitorURL(), "data_dir": f.opts.DataDir, "admin_context": "local-operator",
	}
	if fmt.Sprint(ready) != fmt.Sprint(want) {
		t.Errorf("ready = %v, want %v", ready, want)
	}
	if got := f.journal.String(); !strings.HasSuffix(got, "-broker -control") {
		t.Errorf("order = %s, want the broker to stop before the control plane", got)
	}
	c, err := f.contexts.Get("local-operator")
	if err != nil || !c.IsOperator() || c.APIKey.Reveal() != "covey_id_first" || c.NATSURL != f.broker.ClientURL() {
		t.Errorf("operator's context = %+v, %v", c, err)
	}
	if current, _ := f.contexts.Current(); current != "local-operator" {
		t.Errorf("selected = %q", current)
	}
}

func TestLaterStartRefreshesEndpointsAndKeepsKeys(t *testing.T) {
	f := newFixture(t)
	if _, err := f.runUntilReady(t); err != nil {
		t.Fatal(err)
	}
	admin, err := f.contexts.Get("local-operator")
	if err != nil {
		t.Fatal(err)
	}
	tenant := &contexts.Context{Name: "acme", Installation: admin.Installation, APIKey: contexts.NewAPIKey("tenant-key"), APIAddr: "old"}
	other := &contexts.Context{Name: "other", Installation: "elsewhere", APIAddr: "untouched"}
	for _, c := range []*contexts.Context{tenant, other} {
		if err := f.contexts.Put(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.contexts.Use("acme"); err != nil {
		t.Fatal(err)
	}
	f.cp, f.broker = newFake(t, f.journal, "control", ""), newFake(t, f.journal, "broker", "INFO {}\r\n")
	ready, err := f.runUntilReady(t)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.contexts.Get("acme")
	if err != nil || got.APIAddr != f.cp.addr() || got.NATSURL != f.broker.ClientURL() || got.APIKey.Reveal() != "tenant-key" {
		t.Errorf("acme after a restart = %+v, %v", got, err)
	}
	if got, _ := f.contexts.Get("other"); got.APIAddr != "untouched" {
		t.Errorf("a context of another installation was changed: %+v", got)
	}
	if current, _ := f.contexts.Current(); current != "acme" || ready["admin_context"] != "local-operator" {
		t.Errorf("selected %q, admin %q", current, ready["admin_context"])
	}
}

func TestFailuresSayWhatAndWhatToDo(t *testing.T) {
	damaged := errs.New(errs.Internal, "STORE_DAMAGED", "the store is damaged").WithNext("restore a backup")
	for name, tc := range map[string]struct {
		arrange    func(t *testing.T, f *fixture)
		what, next string
	}{
		"data directory in use": {func(t *testing.T, f *fixture) {
			d, err := openDataDir(f.opts.DataDir, f.free)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.close)
		}, "in use by another process (pid ", "--data DIR"},
		"port in use":         {func(_ *testing.T, f *fixture) { f.opts.NATSPort = f.broker.listener.Addr().(*net.TCPAddr).Port }, "for NATS clients, is in use", "--nats-port"},
		"disk full":           {func(_ *testing.T, f *fixture) { f.free = func(string) (uint64, error) { return 1 << 20, nil } }, "has 1 MiB left", "make room"},
		"damaged store":       {func(_ *testing.T, f *fixture) { f.failControl(damaged) }, "the store is damaged", "restore a backup"},
		"full while starting": {func(_ *testing.T, f *fixture) { f.failControl(fmt.Errorf("write: %w", syscall.ENOSPC)) }, "no space left", "make room"},
		"broker ends":         {func(_ *testing.T, f *fixture) { f.broker.fail = errors.New("boom") }, "run the broker: boom", ""},
		"no join token":       {func(_ *testing.T, f *fixture) { f.cp.token = damaged }, "let the broker join", "restore a backup"},
		"damaged marker": {func(t *testing.T, f *fixture) {
			if err := os.MkdirAll(f.opts.DataDir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(f.opts.DataDir, "installation"), []byte("??"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is damaged", "backup"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			tc.arrange(t, f)
			_, err := f.runUntilReady(t)
			fault := term.AsFault(err)
			if err == nil || fault.Code != term.ExitFailure || !strings.Contains(fault.What, tc.what) || !strings.Contains(fault.Next, tc.next) {
				t.Errorf("fault = %+v", fault)
			}
		})
	}
}

func (f *fixture) failControl(err error) {
	f.parts.ControlPlane = func(context.Context, ControlPlaneConfig) (ControlPlane, error) { return nil, err }
}

func TestLostOperatorContextIsAWarning(t *testing.T) {
	f := newFixture(t)
	f.cp.key = ""
	f.streams.JSON = false
	f.opts.DataDir = filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.streams.Out = &cancelWhenReady{cancel: cancel}
	if err := f.run(ctx); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(f.chatter.String(), "operator's context") {
		t.Errorf("chatter = %s", f.chatter)
	}
}

func TestStaleContextOfAnEmptiedDirectoryIsTakenOver(t *testing.T) {
	f := newFixture(t)
	if _, err := f.runUntilReady(t); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(f.opts.DataDir); err != nil {
		t.Fatal(err)
	}
	f.cp, f.broker = newFake(t, f.journal, "control", ""), newFake(t, f.journal, "broker", "INFO {}\r\n")
	f.cp.key = "covey_id_second"
	ready, err := f.runUntilReady(t)
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.contexts.Get(ready["admin_context"])
	if err != nil || c.Name != "local-operator" || c.APIKey.Reveal() != "covey_id_second" {
		t.Errorf("operator's context = %+v, %v", c, err)
	}
}

func TestTwoOptionsCannotShareAPort(t *testing.T) {
	o := &Options{DataDir: "d", NATSPort: 4222, APIPort: 4222}
	if f := term.AsFault(o.validate()); f.Code != term.ExitUsage {
		t.Errorf("fault = %+v", f)
	}
}
