// Package alerts looks at what organizations use, opens alerts when a threshold of
// their policies is reached, closes them when it is not any more, and tells
// receivers.
//
// What it decides is kept in the store, in the transaction of each alert: which
// threshold has one, and that a receiver has to be told. So each threshold has
// one alert in its period, and each receiver hears of it at least once, whoever
// leads and however often that changes. Run and Deliver are for one control plane
// at a time; two at once do no harm but tell twice.
//
// It decides nothing about who may have policies, and measures nothing itself.
package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

const (
	turnEvery   = 30 * time.Second
	sweepEvery  = time.Hour
	closedKept  = 30 * 24 * time.Hour
	openMax     = 5000  // alerts of one organization that are open at once
	keptMax     = 10000 // alerts of one organization, closed ones included
	changesMax  = 500   // alerts of one organization that change in one turn; the rest is for the next
	countsAtOne = 500   // accounts whose connections are asked for at once
)

// Ledger reads what accounts use.
type Ledger interface {
	Usage(ctx context.Context, accounts []string, from, to time.Time) ([]billing.AccountUsage, error)
	ReportedSince(ctx context.Context, since time.Time) ([]string, error)
}

// Counter asks brokers how many connections accounts, at most 500, have. Those that
// have none may be left out. Missing is how many brokers did not answer: there may
// be more then.
type Counter interface {
	CountAccounts(ctx context.Context, accounts []string) (counts map[string]int64, missing int, err error)
}

// Config is what an Engine works with.
type Config struct {
	Store   *store.Store
	Tenancy *tenancy.Service
	Custody *custody.Custody
	Ledger  Ledger
	Counter Counter
	Client  *http.Client // posts to receivers; nil is one that reaches public addresses only
	Logger  *slog.Logger
}

// Engine looks, and tells. Deliver is for one goroutine, all else for any.
type Engine struct {
	store   *store.Store
	tenancy *tenancy.Service
	custody *custody.Custody
	counter Counter
	client  *http.Client
	log     *slog.Logger
	woken   chan struct{} // something is to be told

	turn  sync.Mutex
	usage *usage // guarded by turn, as is what follows
	known map[string]*organization
	swept time.Time

	courier courier
}

// New returns an engine.
func New(cfg Config) *Engine {
	return &Engine{
		store: cfg.Store, tenancy: cfg.Tenancy, custody: cfg.Custody, counter: cfg.Counter, client: postingClient(cfg.Client),
		log: cfg.Logger.With("component", "alerts"), woken: make(chan struct{}, 1),
		usage: newUsage(cfg.Ledger), known: map[string]*organization{},
		courier: courier{busy: map[string]bool{}, orgs: map[string]int{}, resting: map[string]*rest{}, slots: make(chan struct{}, deliveriesMax)},
	}
}

// Run looks every half minute until ctx ends. What fails is looked at again the
// next time.
func (e *Engine) Run(ctx context.Context) error {
	ticker := time.NewTicker(turnEvery)
	defer ticker.Stop()
	for {
		if err := e.Turn(ctx, time.Now()); err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "alerts are late", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Turn looks at everything once. What fails of one organization does not hold up
// the others.
func (e *Engine) Turn(ctx context.Context, now time.Time) error {
	e.turn.Lock()
	defer e.turn.Unlock()
	names, err := e.store.AlertingOrganizations(ctx)
	if err != nil {
		return err
	}
	heads, err := e.store.Heads(ctx, names)
	if err != nil {
		return err
	}
	known := make(map[string]*organization, len(names))
	var failed error
	for _, name := range names {
		o := e.known[name]
		if o == nil || o.head != heads[name] {
			if o, err = e.load(ctx, name, heads[name]); err != nil {
				failed = errors.Join(failed, fmt.Errorf("organization %s: %w", name, err))
				continue
			}
		}
		known[name] = o
	}
	e.known = known // those that are not looked at any more are forgotten
	r, err := e.read(ctx, now)
	failed = errors.Join(failed, err)
	for _, o := range e.known {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := e.settle(ctx, o, r, now); err != nil {
			failed = errors.Join(failed, fmt.Errorf("organization %s: %w", o.name, err))
		}
	}
	return errors.Join(failed, e.sweep(ctx, now))
}

// sweep forgets alerts that closed long ago, and stops looking where nothing is left.
func (e *Engine) sweep(ctx context.Context, now time.Time) error {
	due := now.Sub(e.swept) >= sweepEvery
	if due {
		e.swept = now
	}
	var failed error
	for name, o := range e.known {
		if !due && o.total < keptMax {
			continue
		}
		err := e.store.ForgetAlerts(ctx, name, now.Add(-closedKept), keptMax*9/10)
		o.head = dirty
		if err == nil && len(o.policies) == 0 && len(o.marks) == 0 {
			err = e.store.EndAlerting(ctx, name)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// wake has Deliver look at once.
func (e *Engine) wake() {
	select {
	case e.woken <- struct{}{}:
	default:
	}
}
