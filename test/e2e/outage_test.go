package e2e_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/test/conformance/proc"
)

// freeAddr returns an address that nobody else takes before it is used.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := proc.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// daemon is a program of a fleet.
type daemon struct {
	cmd  *exec.Cmd
	wait func() error // returns when it has ended
}

// daemon starts a program that the end of the test ends.
func (h *home) daemon(name string, args ...string) daemon {
	h.t.Helper()
	cmd := exec.Command(program(h.t, name), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = h.env, h.log, h.log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	d := daemon{cmd: cmd, wait: sync.OnceValue(cmd.Wait)}
	h.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended
		_ = d.wait()
	})
	return d
}

func (h *home) content(file string) string {
	h.t.Helper()
	var text string
	eventually(h.t, file, func() bool {
		data, err := os.ReadFile(file)
		text = strings.TrimSpace(string(data))
		return err == nil && text != ""
	})
	return text
}

// TestOutageOfTheControlPlaneIsNotNoticed runs control plane and broker as
// processes of their own and kills the first.
func TestOutageOfTheControlPlaneIsNotNoticed(t *testing.T) {
	h := newHome(t)
	api, rest, fleet, otlp, client := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	key, token, operator := filepath.Join(h.dir, "operator.key"), filepath.Join(h.dir, "join.token"), filepath.Join(h.dir, "operator.pub")
	control := h.daemon("covey-controlplane", "-data", h.data, "-api", api, "-http", rest, "-fleet", fleet, "-otlp", otlp,
		"-operator-key-file", key, "-join-token-file", token, "-operator-public-key-file", operator)
	h.content(key)
	h.content(token)
	host, port, err := net.SplitHostPort(client)
	if err != nil {
		t.Fatal(err)
	}
	h.daemon("covey-broker", "-a", host, "-p", port, "-control-plane", fleet, "-otlp", otlp,
		"-operator-public-key", h.content(operator), "-join-token-file", token, "-state-dir", filepath.Join(h.dir, "state"))
	h.covey("context", "add", "staff", "--operator", "--use", "--api-addr", api, "--nats-url", "nats://"+client, "--api-key-file", key)
	eventually(t, "the API answers", func() bool { return h.run("covey", "org", "list").code == 0 })
	acme := h.signUp("acme")

	b := &box{home: h, ready: ready{NATSURL: "nats://" + client}}
	eventually(t, "the broker answers", func() bool { return h.run("covey", "pub", "x", "y").code == 0 })
	var lost atomic.Int64
	nc := b.connect(acme.CredsFile, nats.DisconnectErrHandler(func(*nats.Conn, error) { lost.Add(1) }))
	sub := subscribe(t, nc, "work", "")

	if err := control.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = control.wait() // killed
	for range 100 {
		publish(t, nc, "work", "goes on")
		next(t, sub)
	}
	second := b.connect(acme.CredsFile) // a client of an account that the broker knows
	publish(t, second, "work", "also new ones")
	if m := next(t, sub); string(m.Data) != "also new ones" {
		t.Errorf("received %q", m.Data)
	}
	if lost.Load() != 0 {
		t.Errorf("the client was disconnected %d times", lost.Load())
	}
	if o := h.run("covey", "account", "list", "--timeout", "3s"); o.code != 1 || !strings.Contains(o.stderr, "next:") {
		t.Errorf("a call during the outage: %+v", o)
	}
}
