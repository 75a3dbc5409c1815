package up

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/internal/lifecycle"
)

func endpoints(cp ControlPlane, b Broker) contexts.Endpoints {
	return contexts.Endpoints{APIAddr: cp.APIAddr(), HTTPURL: "http://" + cp.HTTPAddr(), NATSURL: b.ClientURL()}
}

// Pauses between looks.
const (
	probeMin     = 5 * time.Millisecond
	probeMax     = 100 * time.Millisecond
	probeTimeout = time.Second
)

// awaitReady returns when a client would be served: the broker greets, the API
// and REST accept connections, and the brokers are connected with each other.
func awaitReady(ctx context.Context, at contexts.Endpoints, meshed func() error, parts ...*part) error {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	pause := lifecycle.Backoff{Min: probeMin, Max: probeMax}
	for {
		err := firstOf(probe(ctx, at), meshed())
		if err == nil {
			return nil
		}
		if early := stoppedEarly(parts...); early != nil {
			return early
		}
		if pause.Wait(ctx) == nil {
			continue
		}
		if parent.Err() != nil {
			return term.Failf("", "interrupted before it was ready")
		}
		return term.Failf("see the log above", "not ready after %s: %w", readyTimeout, err)
	}
}

func probe(ctx context.Context, at contexts.Endpoints) error {
	for _, target := range []struct{ addr, greeting string }{
		{hostPort(at.NATSURL), "INFO "},
		{at.APIAddr, ""},
		{hostPort(at.HTTPURL), ""},
	} {
		if err := knock(ctx, target.addr, target.greeting); err != nil {
			return fmt.Errorf("probe %s: %w", target.addr, err)
		}
	}
	return nil
}

// knock connects and, if a greeting is expected, reads it.
func knock(ctx context.Context, addr, greeting string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if greeting == "" {
		return nil
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	got, err := bufio.NewReader(conn).Peek(len(greeting))
	if err != nil {
		return err
	}
	if string(got) != greeting {
		return errors.New("unexpected greeting")
	}
	return nil
}

func hostPort(rawURL string) string {
	if u, err := url.Parse(rawURL); err == nil && u.Host != "" {
		return u.Host
	}
	return strings.TrimPrefix(rawURL, "nats://")
}

// announce prints where things are: once, when they are there.
func (u *assembly) announce(at contexts.Endpoints, all brokers, dataDir, admin string) error {
	monitorURL := all[0].MonitorURL()
	if u.streams.JSON {
		return u.streams.PrintJSON(struct {
			NATSURL      string  `json:"nats_url"`
			APIAddr      string  `json:"api_addr"`
			HTTPURL      string  `json:"http_url"`
			MonitorURL   string  `json:"monitor_url"`
			DataDir      string  `json:"data_dir"`
			AdminContext string  `json:"admin_context"`
			Brokers      []place `json:"brokers,omitempty"`
		}{at.NATSURL, at.APIAddr, at.HTTPURL, monitorURL, dataDir, admin, all.places()})
	}
	err := u.streams.Describe(append(all.pairs(), term.Pair{Name: "gRPC API", Value: at.APIAddr},
		term.Pair{Name: "REST", Value: at.HTTPURL}, term.Pair{Name: "monitoring", Value: monitorURL},
		term.Pair{Name: "data", Value: dataDir}, term.Pair{Name: "operator's context", Value: admin})...)
	u.streams.Sayf("\nCovey is up. Next, in another terminal:\n  covey signup --org acme --email you@example.com\n")
	return err
}
