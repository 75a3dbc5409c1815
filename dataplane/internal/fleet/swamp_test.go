package fleet_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/controlplane/fleettest"
	"github.com/coveymq/covey/dataplane"
)

// tellings counts what a broker logs of claims that came into force.
type tellings struct {
	mu   sync.Mutex
	n    int              // guarded by mu
	last map[string]int64 // revision in force, by account; guarded by mu
	back int              // how often one went back; guarded by mu
}

// Handle implements slog.Handler.
func (h *tellings) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "account claims in force" {
		return nil
	}
	var account string
	var revision int64
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "account":
			account = a.Value.String()
		case "rev":
			revision = a.Value.Int64()
		}
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n++; revision < h.last[account] {
		h.back++
	}
	h.last[account] = revision
	return nil
}

// Enabled implements slog.Handler.
func (h *tellings) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler: which part of the broker logs does not matter.
func (h *tellings) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h *tellings) WithGroup(string) slog.Handler { return h }

// check checks that there were no more tellings than that, none of which went
// back, and that the last are in force.
func (h *tellings) check(t *testing.T, final map[string]int64, most int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n > most || h.back > 0 {
		t.Errorf("%d tellings, %d of which went back; want at most %d", h.n, h.back, most)
	}
	for account, revision := range final {
		if h.last[account] != revision {
			t.Errorf("%s is at %d, want %d", account, h.last[account], revision)
		}
	}
}

// tenant is an account of one user.
type tenant struct {
	pair   nkeys.KeyPair
	public string
	user   nats.Option
}

func newTenant(t *testing.T) *tenant {
	t.Helper()
	a := &tenant{}
	var err error
	if a.pair, err = nkeys.CreateAccount(); err != nil {
		t.Fatal(err)
	}
	if a.public, err = a.pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.NewUserClaims(public).Encode(a.pair)
	if err != nil {
		t.Fatal(err)
	}
	a.user = nats.UserJWT(func() (string, error) { return token, nil }, pair.Sign)
	return a
}

// allow stores claims of the account with a limit of connections.
func (a *tenant) allow(t *testing.T, cp *fleettest.ControlPlane, connections int64) (revision int64) {
	t.Helper()
	claims := jwt.NewAccountClaims(a.public)
	claims.Limits.Conn = connections
	text, err := claims.Encode(cp.Operator)
	if err != nil {
		t.Fatal(err)
	}
	return cp.PutClaims(a.public, text)
}

// realBroker runs a whole broker that enrols, until the test ends.
func realBroker(t *testing.T, cp *fleettest.ControlPlane, log *tellings) *dataplane.Broker {
	t.Helper()
	b, err := dataplane.New(t.Context(), dataplane.Config{
		Host: "127.0.0.1", MonitorAddr: "127.0.0.1:0", ServerName: "real", Version: "test", StateDir: t.TempDir(),
		Drain: dataplane.Drain{Grace: time.Millisecond}, Logger: slog.New(log),
		ControlPlane: &dataplane.ControlPlane{
			FleetAddr: cp.Addr, OTLPAddr: "127.0.0.1:1", OperatorPublicKey: cp.OperatorKey(), JoinToken: dataplane.JoinToken(cp.JoinToken()),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Errorf("run broker: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return b
}

func connected(t *testing.T, b *dataplane.Broker, a *tenant) *nats.Conn {
	t.Helper()
	var nc *nats.Conn
	fleettest.Await(t, "the broker lets the account in", func() (ok bool) {
		var err error
		nc, err = nats.Connect(b.ClientURL(), a.user, nats.NoReconnect(), nats.Timeout(time.Minute))
		return err == nil
	})
	t.Cleanup(nc.Close)
	return nc
}

// served asks until it is told to stop, and then says how often it was answered.
func served(t *testing.T, nc *nats.Conn) (stop func() int) {
	t.Helper()
	answered, done := 0, make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := nc.Request("ask", nil, time.Minute); err != nil {
				t.Errorf("the bystander is not answered: %v", err)
				return
			}
			answered++
		}
	})
	return func() int {
		close(done)
		asking.Wait()
		return answered
	}
}

// Changes of accounts that a whole broker serves, as fast as they can be made, which
// is far more than 10,000 a minute, reach it merged: as many tellings of each account as there are
// deliveries and no more. Another account of that broker is answered all the while,
// and what is in force at the end is the last of every account.
func TestAWholeBrokerIsNotSwampedByChanges(t *testing.T) {
	changes := 4000
	if testing.Short() {
		changes = 500
	}
	const busy = 10 // accounts that change
	cp := fleettest.Start(t)
	told := &tellings{last: map[string]int64{}}
	b := realBroker(t, cp, told)
	var all []*tenant
	var held []*nats.Conn
	for range busy {
		a := newTenant(t)
		a.allow(t, cp, 9)
		all, held = append(all, a), append(held, connected(t, b, a))
	}
	bystander := newTenant(t)
	bystander.allow(t, cp, 9)
	asks, answers := connected(t, b, bystander), connected(t, b, bystander)
	if _, err := answers.Subscribe("ask", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	if err := answers.Flush(); err != nil {
		t.Fatal(err)
	}

	stop := served(t, asks)
	began := time.Now()
	for i := range changes - busy {
		all[i%busy].allow(t, cp, int64(2+i/busy%7))
	}
	final := map[string]int64{}
	var last int64
	for _, a := range all {
		last = a.allow(t, cp, 1)
		final[a.public] = last
	}
	made := time.Since(began)
	fleettest.Await(t, "acknowledged", func() bool { return cp.Progress(last)[0].Acknowledged })
	took := time.Since(began)
	answered := stop()

	told.check(t, final, (int(took/fleettest.DeliverEvery)+2)*busy)
	if answered == 0 {
		t.Error("the bystander was never answered")
	}
	for i, a := range all {
		if err := held[i].FlushTimeout(time.Minute); err != nil {
			t.Errorf("a client that every state allowed is gone: %v", err)
		}
		second, err := nats.Connect(b.ClientURL(), a.user, nats.NoReconnect(), nats.Timeout(time.Minute))
		if err == nil {
			second.Close()
		}
		if !errors.Is(err, nats.ErrMaxAccountConnectionsExceeded) {
			t.Errorf("the last state is not in force: a second connection: %v", err)
		}
	}
	t.Logf("%d changes in %v (%.0f a minute), acknowledged %v after the last: %d tellings; the bystander was answered %d times meanwhile",
		changes, made.Round(time.Millisecond), float64(changes)/made.Minutes(), (took - made).Round(time.Millisecond), told.n, answered)
}
