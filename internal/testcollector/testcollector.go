// Package testcollector runs a real OpenTelemetry Collector, for tests of those
// who report through one. It is a process that can be killed and started again
// on the same address. Building one takes minutes, so that tests are skipped
// unless COVEY_COLLECTOR names it: `make collector-test` builds it and runs them.
package testcollector

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// startTimeout is what a loaded machine may need.
const startTimeout = 30 * time.Second

// Collector is one Collector. Start and Kill belong to one goroutine.
type Collector struct {
	tb      testing.TB
	program string
	config  string
	addr    string
	out     output
	cmd     *exec.Cmd // nil while it does not run
}

// output is what the Collector says, for reading while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// config takes OTLP, batches it and passes it on through an ordinary queue, and
// writes it out.
const config = `receivers:
  otlp: { protocols: { grpc: { endpoint: %q%s } } }
processors:
  batch: { timeout: 20ms }
exporters:
  debug: { verbosity: detailed }
%sservice:
  telemetry: { metrics: { level: none } }
  pipelines:
    metrics: { receivers: [otlp], processors: [batch], exporters: [%s] }
`

// TLS are the files of a Collector that has a certificate: of its own, and of
// those who may report to it and to whom it reports.
type TLS struct{ Cert, Key, Authorities string }

// Start runs a Collector until the test ends. It sends what it gets to the OTLP
// receiver at to, or, if that is empty, writes it out.
func Start(tb testing.TB, to string) *Collector {
	tb.Helper()
	exporter, names := "", "debug"
	if to != "" {
		exporter, names = fmt.Sprintf("  otlp: { endpoint: %q, tls: { insecure: true }, retry_on_failure: { initial_interval: 50ms } }\n", to), "otlp"
	}
	return start(tb, "", exporter, names)
}

// StartSecured runs a Collector that is configured as docs/operations/fleet.md has
// it, between brokers and the control plane that takes OTLP at to.
func StartSecured(tb testing.TB, to string, files TLS) *Collector {
	tb.Helper()
	receives := fmt.Sprintf(", tls: { cert_file: %q, key_file: %q, client_ca_file: %q, client_ca_file_reload: true, reload_interval: 1h }", files.Cert, files.Key, files.Authorities)
	exporter := fmt.Sprintf("  otlp: { endpoint: %q, retry_on_failure: { initial_interval: 50ms },\n    tls: { cert_file: %q, key_file: %q, ca_file: %q, server_name_override: controlplane.fleet.covey, reload_interval: 1h } }\n",
		to, files.Cert, files.Key, files.Authorities)
	return start(tb, receives, exporter, "otlp")
}

func start(tb testing.TB, receiverTLS, exporter, names string) *Collector {
	tb.Helper()
	c := &Collector{tb: tb, program: os.Getenv("COVEY_COLLECTOR")}
	if c.program == "" {
		tb.Skip("COVEY_COLLECTOR names no Collector: make collector-test builds one")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		tb.Fatal(err)
	}
	c.addr = l.Addr().String()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	c.config = filepath.Join(tb.TempDir(), "collector.yaml")
	if err := os.WriteFile(c.config, fmt.Appendf(nil, config, c.addr, receiverTLS, exporter, names), 0o600); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if c.Kill(); tb.Failed() {
			tb.Logf("the Collector said:\n%s", c.Output())
		}
	})
	c.Start()
	return c
}

// Addr is where it takes OTLP over gRPC; it stays the same over Kill and Start.
func (c *Collector) Addr() string { return c.addr }

// Output is what it has written so far.
func (c *Collector) Output() string {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.text.String()
}

// Start runs it again after Kill, and returns when it listens.
func (c *Collector) Start() {
	c.tb.Helper()
	c.cmd = exec.Command(c.program, "--config", c.config) //nolint:gosec,noctx // the program that the environment names, ended by Kill
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	if err := c.cmd.Start(); err != nil {
		c.cmd = nil
		c.tb.Fatal(err)
	}
	deadline := time.Now().Add(startTimeout)
	for {
		nc, err := net.DialTimeout("tcp", c.addr, time.Second) //nolint:noctx // loopback
		if err == nil {
			_ = nc.Close()
			return
		}
		if time.Now().After(deadline) {
			c.tb.Fatalf("the Collector does not listen: %v", err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// Kill ends it at once, with all that is in its queue.
func (c *Collector) Kill() {
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill() // fails only if it is over
	_ = c.cmd.Wait()         // killed
	c.cmd = nil
}
