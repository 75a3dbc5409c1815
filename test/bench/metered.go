package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/test/bench/load"
	"github.com/coveymq/covey/test/conformance/proc"
)

// control is a control plane for which the subject counts, and a tenant whose
// user the load is then. It is a process of its own: what it costs is not the
// broker's.
type control struct {
	config string // of a broker that belongs to it
	user   *load.User

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

const (
	controlTimeout = 30 * time.Second
	controlPoll    = 20 * time.Millisecond
)

// newControl starts a control plane and signs a tenant up. Bin holds the
// programs, dir takes all that they write.
func newControl(ctx context.Context, bin, dir string) (_ *control, err error) {
	var addr [4]string
	for i := range addr {
		port, err := proc.FreePort()
		if err != nil {
			return nil, err
		}
		addr[i] = "127.0.0.1:" + strconv.Itoa(port)
	}
	api, rest, fleet, otlp := addr[0], addr[1], addr[2], addr[3]
	file := func(name string) string { return filepath.Join(dir, name) }
	running, cancel := context.WithCancel(ctx)
	c := &control{cancel: cancel}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	cmd := exec.CommandContext(running, filepath.Join(bin, "covey-controlplane"), "-data", file("control"), //nolint:gosec // ours
		"-api", api, "-http", rest, "-fleet", fleet, "-otlp", otlp,
		"-operator-key-file", file("operator.key"), "-join-token-file", file("join.token"), "-operator-public-key-file", file("operator.pub"))
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the control plane: %w; build it, or leave metering out with -metered=false", err)
	}
	c.wg.Go(func() { _ = cmd.Wait() }) // how a killed process ends says nothing
	operator, err := content(ctx, file("operator.pub"))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"operator.key", "join.token"} {
		if _, err := content(ctx, file(name)); err != nil {
			return nil, err
		}
	}
	if c.user, err = signUp(ctx, bin, dir, api); err != nil {
		return nil, err
	}
	c.config = fmt.Sprintf("covey { control_plane: %q, otlp: %q, operator_public_key: %s, join_token_file: %q, state_dir: %q }\n",
		fleet, otlp, operator, file("join.token"), file("state"))
	return c, nil
}

func (c *control) close() {
	c.cancel()
	c.wg.Wait()
}

// content waits until a file has some.
func content(ctx context.Context, file string) (string, error) {
	deadline := time.Now().Add(controlTimeout)
	for time.Now().Before(deadline) {
		if text, err := os.ReadFile(file); err == nil && len(bytes.TrimSpace(text)) > 0 { //nolint:gosec // in our own folder
			return string(bytes.TrimSpace(text)), nil
		}
		if err := rest(ctx, controlPoll); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("the control plane did not write %s in time", filepath.Base(file))
}

// signUp makes the tenant, with the command line as people do.
func signUp(ctx context.Context, bin, dir, api string) (*load.User, error) {
	covey := func(args ...string) error {
		ctx, cancel := context.WithTimeout(ctx, controlTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "covey"), args...) //nolint:gosec // ours
		cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("covey %s: %w: %s", args[0], err, text)
		}
		return nil
	}
	creds := filepath.Join(dir, "bench.creds")
	err := covey("context", "add", "staff", "--operator", "--use", "--api-addr", api, "--nats-url", "nats://127.0.0.1:4222", "--api-key-file", filepath.Join(dir, "operator.key"))
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(controlTimeout)
	for err = covey("org", "list"); err != nil && time.Now().Before(deadline); err = covey("org", "list") {
		if err := rest(ctx, controlPoll); err != nil {
			return nil, err
		}
	}
	if err = errors.Join(err, covey("signup", "--org", "bench", "--email", "bench@bench.example", "--creds-out", creds)); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(creds) //nolint:gosec // in our own folder
	if err != nil {
		return nil, err
	}
	token, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		return nil, err
	}
	keys, err := jwt.ParseDecoratedUserNKey(text)
	return &load.User{JWT: token, Key: keys}, err
}
