package planes_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testleak"
	"github.com/coveymq/covey/test/conformance/proc"
)

// planeEnv tells this program that it is to be a control plane.
const planeEnv = "COVEY_TEST_PLANE"

const tokenLife = 10 * time.Minute

// planeSpec is what a control plane's process is told.
type planeSpec struct {
	Dir        string
	Endpoints  []string
	LedgerURL  string
	API, Fleet string // addresses
	Tokens     int    // how many brokers may join
}

// planeReady is what it says when it serves.
type planeReady struct {
	API, Fleet, Key string
	Tokens          []string
}

func TestMain(m *testing.M) {
	testetcd.Main()
	if text := os.Getenv(planeEnv); text != "" {
		if err := servePlane(text); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "control plane:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testleak.Main(m)
}

func servePlane(text string) error {
	var spec planeSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("read spec: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var parent sync.WaitGroup
	parent.Go(func() { // it holds the other end of our input: when it is gone, so are we
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	})
	const anyPort = "127.0.0.1:0"
	server, err := controlplane.New(ctx, controlplane.Config{
		DataDir: spec.Dir, APIAddr: spec.API, HTTPAddr: anyPort, FleetAddr: spec.Fleet, OTLPAddr: anyPort,
		Etcd: controlplane.EtcdConfig{Endpoints: spec.Endpoints}, LedgerURL: controlplane.NewSecret(spec.LedgerURL),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	ready := planeReady{API: server.APIAddr(), Fleet: server.FleetAddr(), Key: server.BootstrapKey()}
	for range spec.Tokens {
		token, err := server.JoinToken(ctx, tokenLife)
		if err != nil {
			return err
		}
		ready.Tokens = append(ready.Tokens, token)
	}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return fmt.Errorf("say ready: %w", err)
	}
	return server.Run(ctx)
}

// plane is one control plane, a process that can be killed.
type plane struct {
	spec planeSpec
	planeReady

	mu  sync.Mutex
	cmd *exec.Cmd // guarded by mu
}

// up starts the process and returns when it serves.
func (p *plane) up() error {
	text, err := json.Marshal(p.spec)
	if err != nil {
		return fmt.Errorf("write spec: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find ourselves: %w", err)
	}
	cmd := exec.Command(self) //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), planeEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("open output: %w", err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // Wait closes it
		return fmt.Errorf("open input: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start control plane: %w", err)
	}
	p.mu.Lock()
	p.cmd = cmd
	p.mu.Unlock()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("control plane does not start: %w", err)
	}
	var ready planeReady
	if err := json.Unmarshal(line, &ready); err != nil {
		return fmt.Errorf("read its first line: %w", err)
	}
	if p.API == "" {
		p.planeReady = ready
		p.spec.Tokens = 0
	}
	return nil
}

// memory reads how many megabytes the process has in use that are not a file's;
// 0 while it does not run, and where /proc is not.
func (p *plane) memory() (float64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0, nil
	}
	m, err := proc.MemoryOf(p.cmd.Process.Pid)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return float64(m.Own) / (1 << 20), err
}

// kill ends the process as kill -9 does.
func (p *plane) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // killed
		p.cmd = nil
	}
}

// startPlanes starts control planes of one installation. The first lets brokers
// join.
func startPlanes(tb testing.TB, n int, spec planeSpec) []*plane {
	tb.Helper()
	var all []*plane
	for i := range n {
		spec.Dir = filepath.Join(tb.TempDir(), "plane")
		for _, addr := range []*string{&spec.API, &spec.Fleet} { // which it has again when it is back
			var err error
			if *addr, err = proc.FreeAddr(); err != nil {
				tb.Fatal(err)
			}
		}
		if i > 0 { // the key that seals secrets comes from the first
			key, err := os.ReadFile(filepath.Join(all[0].spec.Dir, "custody.key"))
			if err != nil {
				tb.Fatal(err)
			}
			if err := os.MkdirAll(spec.Dir, 0o700); err != nil {
				tb.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(spec.Dir, "custody.key"), key, 0o600); err != nil {
				tb.Fatal(err)
			}
			spec.Tokens = 0
		}
		p := &plane{spec: spec}
		tb.Cleanup(p.kill)
		if err := p.up(); err != nil {
			tb.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}
