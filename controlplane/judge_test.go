package controlplane_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/dataplane"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// judge is a server that follows the control plane's claims: a stock
// nats-server or a Covey broker.
type judge struct {
	url string
	// settle returns once the server has acted on an operation.
	settle func(t *testing.T, by *caller, account string, op *apiv1.Operation)
	// imports says how many imports of an account a stock server took.
	imports func(t *testing.T, account string) int
}

// judges runs a test against both.
func (p *plane) judges(t *testing.T, run func(t *testing.T, j judge)) {
	t.Helper()
	t.Run("stock nats-server", func(t *testing.T) { run(t, p.stock(t)) })
	t.Run("covey broker", func(t *testing.T) { run(t, p.broker(t)) })
}

// onBoth runs a test on both, each with a control plane of its own.
func onBoth(t *testing.T, run func(t *testing.T, open func(*plane, *testing.T) judge)) {
	t.Helper()
	t.Run("stock nats-server", func(t *testing.T) { run(t, (*plane).stock) })
	t.Run("covey broker", func(t *testing.T) { run(t, (*plane).broker) })
}

// stock is a stock nats-server that resolves accounts over HTTP and is told of
// changes, as it would be over $SYS.
func (p *plane) stock(t *testing.T) judge {
	t.Helper()
	resolver, err := server.NewURLAccResolver("http://" + p.HTTPAddr() + "/jwt/v1/accounts/")
	if err != nil {
		t.Fatal(err)
	}
	account := must[*apiv1.GetAccountResponse](t, "account")(p.as(t, p.key).accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: acmeAccount}))
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, AccountResolver: resolver,
		TrustedKeys:   []string{p.claims(t, account.GetAccount().GetPublicKey()).Issuer},
		SystemAccount: controlplane.SystemAccount(p.Server), // an authorization service is asked through it
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("stock nats-server does not start")
	}
	count := func(t *testing.T, account string) int {
		t.Helper()
		if _, err := s.LookupAccount(account); err != nil {
			t.Fatal(err)
		}
		info, err := s.Accountz(&server.AccountzOptions{Account: account})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, i := range info.Account.Imports {
			if !i.Invalid && i.Account != controlplane.SystemAccount(p.Server) { // which every account imports from
				n++
			}
		}
		if !info.Account.Complete {
			t.Errorf("%s is incomplete at a stock server", account)
		}
		return n
	}
	return judge{url: s.ClientURL(), imports: count, settle: func(t *testing.T, by *caller, name string, _ *apiv1.Operation) {
		t.Helper()
		got := must[*apiv1.GetAccountResponse](t, "account")(by.accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: name}))
		known, err := s.LookupAccount(got.GetAccount().GetPublicKey())
		if err != nil {
			t.Fatal(err)
		}
		s.UpdateAccountClaims(known, p.claims(t, got.GetAccount().GetPublicKey()))
	}}
}

// broker is a Covey broker that is enrolled.
func (p *plane) broker(t *testing.T) judge {
	t.Helper()
	return p.brokerAt(t, "test", p.FleetAddr())
}

// brokerAt is a broker with a name that finds the fleet service at an address.
func (p *plane) brokerAt(t *testing.T, name, fleet string) judge {
	t.Helper()
	token, err := p.JoinToken(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	b, err := dataplane.New(t.Context(), dataplane.Config{
		Host: "127.0.0.1", MonitorAddr: "127.0.0.1:0", ServerName: name, Version: "test", StateDir: t.TempDir(),
		Drain: dataplane.Drain{Grace: time.Millisecond}, Logger: slog.New(slog.DiscardHandler),
		ControlPlane: &dataplane.ControlPlane{
			FleetAddr: fleet, OTLPAddr: p.OTLPAddr(), OperatorPublicKey: p.OperatorPublicKey(), JoinToken: dataplane.JoinToken(token),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Errorf("run broker: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return judge{url: b.ClientURL(), settle: func(t *testing.T, by *caller, _ string, op *apiv1.Operation) {
		t.Helper()
		resp := must[*apiv1.WaitOperationResponse](t, "wait")(by.operations.WaitOperation(t.Context(), &apiv1.WaitOperationRequest{Name: op.GetName()}))
		if resp.GetOperation().GetState() < apiv1.Operation_STATE_ENFORCED {
			t.Fatalf("not in force: %v", resp.GetOperation())
		}
	}}
}

// client is a connection that never comes back by itself.
type client struct {
	*nats.Conn

	closed chan struct{}
}

func (j judge) connect(t *testing.T, creds string) (*client, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "creds")
	if err := os.WriteFile(file, []byte(creds), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &client{closed: make(chan struct{})}
	nc, err := nats.Connect(j.url, nats.UserCredentials(file), nats.NoReconnect(), nats.Timeout(time.Minute),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // read from LastError
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }))
	if err != nil {
		return nil, err
	}
	c.Conn = nc
	t.Cleanup(nc.Close)
	return c, nil
}

func (j judge) mustConnect(t *testing.T, creds string) *client {
	t.Helper()
	c, err := j.connect(t, creds)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantAlive checks that a client is connected and served.
func (c *client) wantAlive(t *testing.T, when string) {
	t.Helper()
	if err := c.FlushTimeout(time.Minute); err != nil {
		t.Errorf("%s the client is gone: %v", when, err)
	}
}

// wantGone waits until a client was disconnected.
func (c *client) wantGone(t *testing.T, when string) {
	t.Helper()
	select {
	case <-c.closed:
	case <-time.After(time.Minute):
		t.Errorf("%s the client stays", when)
	}
}

// wantRefused checks that credentials are refused: by an answer, not by
// silence.
func (j judge) wantRefused(t *testing.T, creds, when string) {
	t.Helper()
	_, err := j.connect(t, creds)
	text := strings.ToLower(fmt.Sprint(err))
	for _, known := range []string{"authoriz", "authent", "maximum account active connections"} {
		if err != nil && strings.Contains(text, known) {
			return
		}
	}
	t.Errorf("%s connecting gives %v", when, err)
}
