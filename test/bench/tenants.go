package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/test/bench/load"
)

// Sizes of the tenants' workloads, before scaling.
const (
	few, some     = 1000, 5000
	newcomers     = 10_000 // of those known, who connect
	residents     = 2000   // tenants with a connection and a subscription each
	known         = 50_000 // tenants that are known and, but for newcomers, not connected
	audience      = 10_000 // clients of the account that is changed
	audienceUsers = 100
	witnesses     = 10 // who are asked whether they are still there; asking costs
)

func tenantRows() []Workload {
	first := func(name, title string, target float64, n int) Workload {
		return Workload{
			Name: name, Title: title, Unit: "connect", Figure: CPUPerUnit, Target: target,
			Setup: memoryTenants(n, n), Run: newcomersConnect,
		}
	}
	folder := first("jwt-50000", "first JWT connect of a tenant, 10,000 of 50,000 in a directory, against ourselves with 1,000", 1.15, 0)
	folder.Setup, folder.Against = folderTenants(known, newcomers), folderTenants(few, few)
	rows := []Workload{
		first("jwt-1000", "first JWT connect of a tenant, 1,000 of them", 0.30, few),
		first("jwt-5000", "first JWT connect of a tenant, 5,000 of them", 0.12, some),
		folder,
		{
			Name: "tenant", Title: "tenant with one connection and one subscription", Unit: "tenant", Figure: BytesPerUnit,
			Target: 0.20, Limit: 12 << 10, Setup: memoryTenants(residents, residents), Run: residentsMoveIn,
		},
		{
			Name: "known-50000", Title: "whole process by 50,000 tenants in a directory, none connected, against ourselves with one", Unit: "tenant",
			Figure: BytesPerUnit, Limit: 2 << 10, Setup: folderTenants(known, 0), Against: folderTenants(1, 0), Run: nobodyConnects,
		},
		{
			Name: "update", Title: "change of an account with 10,000 clients", Unit: "change", Figure: CPUPerUnit,
			Target: 1, Limit: float64(50 * time.Millisecond), Setup: changingTenant, Run: changeIsInForce,
		},
		stormRow(),
	}
	for i := range rows {
		rows[i].Section, rows[i].Unmetered = "tenants", true
	}
	return rows
}

// memoryTenants configures n tenants in memory, with users for the first ones.
func memoryTenants(n, users int) func(*session) (*setup, error) {
	return func(s *session) (*setup, error) {
		n, users := s.scaled(n), s.scaled(users)
		t, err := s.tenants(n, users)
		if err != nil {
			return nil, err
		}
		return &setup{config: t.inMemory(t.tenants[:n]), users: t.users[:users]}, nil
	}
}

// folderTenants configures a directory of n tenants.
func folderTenants(n, users int) func(*session) (*setup, error) {
	return func(s *session) (*setup, error) {
		n, users := s.scaled(n), int(float64(users)*s.options.scale)
		t, err := s.tenants(n, users)
		if err != nil {
			return nil, err
		}
		text, err := t.inFolder(s.dir, n)
		return &setup{config: text, users: t.users[:users]}, err
	}
}

// newcomersConnect lets each user connect once, when the server has started: one
// that listens may still be reading what accounts there are.
func newcomersConnect(ctx context.Context, b *bed) (load.Result, error) {
	if err := b.warm(ctx); err != nil {
		return load.Result{}, err
	}
	return b.connectAll(ctx, len(b.dialer.Users))
}

func (b *bed) connectAll(ctx context.Context, n int) (load.Result, error) {
	start := time.Now()
	conns, err := load.OpenMany(ctx, b.dialer, n, dialers)
	b.conns = append(b.conns, conns...)
	return load.Result{Delivered: int64(n), Elapsed: time.Since(start)}, err
}

// residentsMoveIn lets each user connect and subscribe.
func residentsMoveIn(ctx context.Context, b *bed) (load.Result, error) {
	if err := b.warm(ctx); err != nil {
		return load.Result{}, err
	}
	result, err := b.connectAll(ctx, len(b.dialer.Users))
	if err != nil {
		return result, err
	}
	for _, c := range b.conns[1:] {
		if err := c.Write([]byte("SUB orders.new 1\r\n")); err != nil {
			return result, err
		}
		if err := c.Sync(); err != nil {
			return result, err
		}
	}
	return result, rest(ctx, idleTime)
}

// nobodyConnects measures the whole process.
func nobodyConnects(ctx context.Context, b *bed) (load.Result, error) {
	b.memBefore = 0
	return load.Result{Delivered: int64(b.scaled(known)), Elapsed: idleTime}, rest(ctx, idleTime)
}

// changingTenant configures one account with many users. The change revokes the
// first of them.
func changingTenant(s *session) (*setup, error) {
	t, err := s.tenants(1, 1)
	if err != nil {
		return nil, err
	}
	a := t.tenants[0]
	file := filepath.Join(s.dir, "changing.conf")
	give := &setup{config: fmt.Sprintf("include %q\n", filepath.Base(file))}
	for i := range audienceUsers + 1 {
		u, err := a.user(fmt.Sprintf("user-%d", i))
		if err != nil {
			return nil, err
		}
		give.users = append(give.users, u)
	}
	write := func(change func(*jwt.AccountClaims)) error {
		changed := a
		var err error
		if changed.token, err = t.sign(a.key, "changing", change); err != nil {
			return err
		}
		return os.WriteFile(file, []byte(t.inMemory([]tenant{changed})), 0o600)
	}
	give.change = func() error {
		victim, err := give.users[0].Key.PublicKey()
		if err != nil {
			return err
		}
		return write(func(c *jwt.AccountClaims) { c.Revoke(victim) })
	}
	return give, write(nil)
}

// changeIsInForce connects everybody, changes the account and waits until who
// was revoked is disconnected. Everybody else must still be there.
func changeIsInForce(ctx context.Context, b *bed) (load.Result, error) {
	victim, err := b.dial(ctx)
	if err != nil {
		return load.Result{}, err
	}
	b.dialer.Users = b.dialer.Users[1:]
	if _, err := b.connectAll(ctx, b.scaled(audience)); err != nil {
		return load.Result{}, err
	}
	if err := rest(ctx, idleTime); err != nil {
		return load.Result{}, err
	}
	if err := b.ready(ctx); err != nil {
		return load.Result{}, err
	}
	start := time.Now()
	if err := errors.Join(b.setup.change(), b.server.Signal(syscall.SIGHUP)); err != nil {
		return load.Result{}, err
	}
	if err := victim.AwaitEnd(); err != nil {
		return load.Result{}, fmt.Errorf("the revoked user: %w", err)
	}
	result := load.Result{Delivered: 1, Elapsed: time.Since(start)}
	if err := rest(ctx, settleTime); err != nil {
		return result, err
	}
	for _, c := range b.conns[1:min(1+witnesses, len(b.conns))] {
		if err := c.Sync(); err != nil {
			return result, fmt.Errorf("another user: %w", err)
		}
	}
	return result, nil
}
