package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/fleet"
	"github.com/coveymq/covey/dataplane/internal/meter"
	"github.com/coveymq/covey/dataplane/internal/meter/export"
	"github.com/coveymq/covey/dataplane/internal/refusals"
	"github.com/coveymq/covey/dataplane/internal/seen"
	"github.com/coveymq/covey/internal/lifecycle"
)

// enrolment is what a broker has because it belongs to a fleet: accounts from
// the control plane, and counters that are reported to it.
type enrolment struct {
	accounts *account.Registry
	fleet    *fleet.Client
	meter    *meter.Meter
	exporter *export.Exporter
	refusals *refusals.Book
	seen     *seen.Book
	host     *conn.Host
	spread   time.Duration    // over which clients go when the broker is drained
	serving  *lifecycle.Group // set when it starts
	log      *slog.Logger
}

func enrol(ctx context.Context, b *Broker) (_ *enrolment, err error) {
	cp := b.cfg.ControlPlane
	e := &enrolment{log: b.cfg.Logger, spread: b.cfg.Drain.Spread, refusals: refusals.NewBook(), seen: seen.NewBook()}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.meter, err = meter.Open(filepath.Join(b.cfg.StateDir, "usage"), meter.Options{Logger: b.cfg.Logger}); err != nil {
		return nil, fmt.Errorf("open usage counters: %w", err)
	}
	e.fleet, err = fleet.Open(ctx, fleet.Config{
		ControlPlaneAddr: cp.FleetAddr, JoinToken: cp.JoinToken, ServerName: b.cfg.ServerName,
		Version: b.cfg.Version, IncarnationID: e.meter.IncarnationID(),
		OperatorPublicKey: cp.OperatorPublicKey, StateDir: filepath.Join(b.cfg.StateDir, "fleet"),
		Stats:  func() (int64, int64) { return int64(b.host.Len()), int64(e.accounts.Len()) },
		Logger: b.cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("enrol with the control plane: %w", err)
	}
	e.accounts = account.NewRegistry(cp.OperatorPublicKey, source{e.fleet}, e.usage, b.cfg.Logger)
	e.exporter, err = export.New(ctx, e.meter, receipts{e.fleet}, export.Config{
		Endpoint: cp.OTLPAddr, TLS: e.fleet.ClientTLS(), Logger: b.cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare usage export: %w", err)
	}
	return e, nil
}

func (e *enrolment) start(g *lifecycle.Group, host *conn.Host) {
	e.serving, e.host = g, host
	g.Go(e.meter.Run)
	g.Go(e.exporter.Run)
	g.Go(e.tellRefusals)
	g.Go(e.tellSeen)
	// Run of the fleet client returns after Goodbye; that ends nothing else.
	g.Side(func(ctx context.Context) error { return e.fleet.Run(ctx, sink{e}) })
}

// goodbyeTimeout bounds telling the control plane that we are gone. Without it
// the lease lapses by itself.
const goodbyeTimeout = 2 * time.Second

// finish reports the last usage and leaves the fleet. What cannot be reported
// now stays in the usage file for the next start.
func (e *enrolment) finish(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := e.exporter.Flush(ctx); err != nil {
		e.log.Warn("last usage not acknowledged; the next start reports it", "err", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), goodbyeTimeout)
	defer cancel()
	e.tellRefused(time.Now())
	e.tellSightings()
	if err := e.fleet.Goodbye(ctx); err != nil {
		e.log.Warn("could not tell the control plane goodbye", "err", err)
	}
}

func (e *enrolment) close() error {
	var all []error
	if e.exporter != nil {
		ctx, cancel := context.WithTimeout(context.Background(), goodbyeTimeout)
		defer cancel()
		all = append(all, e.exporter.Close(ctx))
	}
	if e.fleet != nil {
		all = append(all, e.fleet.Close())
	}
	if e.meter != nil {
		all = append(all, e.meter.Close())
	}
	return errors.Join(all...)
}

func (e *enrolment) usage(key string) (account.Usage, error) { return e.meter.Account(key) }

func (e *enrolment) newIntent() conn.Intent { return intent{e.meter.Intent()} }

// intent lets connections set a meter's intent without knowing the meter.
type intent struct{ *meter.Intent }

// Set notes a write under way.
func (i intent) Set(u account.Usage, messages, bytes uint64) {
	if a, ok := u.(*meter.Account); ok {
		i.Intent.Set(a, messages, bytes)
	}
}

// source lets the registry look accounts up in the fleet.
type source struct{ *fleet.Client }

// Lookup translates the fleet's errors.
func (s source) Lookup(ctx context.Context, key string) (string, int64, error) {
	token, revision, err := s.Client.Lookup(ctx, key)
	switch {
	case err == nil:
		return token, revision, nil
	case errors.Is(err, fleet.ErrUnknownAccount):
		return "", 0, account.ErrUnknown
	case errors.Is(err, fleet.ErrUntrusted):
		return "", 0, fmt.Errorf("%w: %w", account.ErrUntrusted, err)
	}
	return "", 0, fmt.Errorf("%w: %w", account.ErrUnavailable, err)
}

// sink is where the fleet's changes come in.
type sink struct{ e *enrolment }

// SetOperator takes the operator's signing keys.
func (s sink) SetOperator(token string) error { return s.e.accounts.SetOperator(token) }

// ApplyAccount puts claims in force.
func (s sink) ApplyAccount(key, token string, revision int64) error {
	return s.e.accounts.Apply(key, token, revision)
}

// Connections counts the clients of an account that is loaded.
func (s sink) Connections(key string, users, issuers []string) int64 {
	if a := s.e.accounts.Loaded(key); a != nil {
		return int64(a.MembersOf(users, issuers))
	}
	return 0
}

// DeleteAccount ends an account.
func (s sink) DeleteAccount(key string, revision int64) { s.e.accounts.Delete(key, revision) }

// Offline notes that the control plane is away; known accounts go on.
func (s sink) Offline(since time.Time) {
	s.e.log.Warn("control plane out of reach; serving what is known", "since", since.UTC().Format(time.RFC3339), "until", s.e.fleet.ServeUntil().UTC().Format(time.RFC3339))
}

// withdrawSpread bounds how long clients may take to go when the right to serve
// has ended: the control plane counts on all being gone within two minutes.
const withdrawSpread = 30 * time.Second

// Withdraw sends the clients away, without waiting for them.
func (s sink) Withdraw(why string) {
	s.e.log.Warn("taking no new clients, and letting go of those that are here", "why", why)
	s.e.serving.Side(func(ctx context.Context) error {
		s.e.host.Rest(ctx, min(s.e.spread, withdrawSpread))
		return nil
	})
}

// Resume takes clients again.
func (s sink) Resume() {
	s.e.log.Info("taking clients again")
	s.e.host.Resume()
}

// receipts lets the exporter ask for receipts over the fleet service.
type receipts struct{ *fleet.Client }

// GetUsageReceipt asks what the ledger holds.
func (r receipts) GetUsageReceipt(ctx context.Context, incarnation string, windows []int64) ([]export.Receipt, error) {
	got, err := r.UsageReceipts(ctx, incarnation, windows)
	if err != nil {
		return nil, err
	}
	out := make([]export.Receipt, len(got))
	for i, g := range got {
		out[i] = export.Receipt(g)
	}
	return out, nil
}
