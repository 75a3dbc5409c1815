package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/monitor"
	"github.com/coveymq/covey/dataplane/internal/ration"
	"github.com/coveymq/covey/dataplane/internal/resolver"
	"github.com/coveymq/covey/internal/lifecycle"
)

// Config is what the service needs to know of its broker. Immutable.
type Config struct {
	// ID, Name and Address are who we are; Version is whose behaviour we show.
	ID, Name, Address, Version string
	// Account returns the key of the system account; empty for none.
	Account  func() string
	Host     *conn.Host
	Accounts *account.Registry
	Monitor  *monitor.Server
	// Peers is how many other brokers there are in the cluster.
	Peers func() int
	// Peer reports whether a server is one of them; nil without a cluster.
	Peer func(id string) bool
	// Kin returns those of them that are of our kind, in order; nil without a
	// cluster.
	Kin func() []string
	// Resolver is where claims come from; nil if it is a control plane, or if there
	// are none. Full says that it holds all accounts, and other brokers ask it;
	// Interval is how often it asks others for what it may not have, Timeout how
	// long they have to answer to a look-up.
	Resolver          *resolver.Resolver
	Full              bool
	Interval, Timeout time.Duration
	// Reload reads the broker's configuration again.
	Reload func(context.Context) error
	Log    *slog.Logger
}

// Service is the broker in its system account.
type Service struct {
	// Immutable after New.
	cfg      Config
	queries  *conn.Inbox // what takes time to answer
	pings    *conn.Inbox // what does not, and must not wait for the others
	packs    *conn.Inbox // other brokers' claims
	answers  *conn.Inbox // of authorization services
	halves   *conn.Inbox // what other brokers measured
	asks     asks
	rates    *ration.Table
	callouts callouts
	packing  atomic.Bool      // claims are being sent to another broker
	group    *lifecycle.Group // set by Run, before any request is handled

	seq   atomic.Uint64
	bound atomic.Pointer[binding] // nil while the account is not known

	binding sync.Mutex // held while bound changes

	mu    sync.Mutex
	dirty map[*account.Account]bool // whose connections changed; guarded by mu
	wake  chan struct{}             // that there are some
}

// binding is what the service has in the account of now. Immutable.
type binding struct {
	account *account.Account
	subs    []*conn.Internal
}

// Bounds of the queues. An answer may be large and take long, so there may not
// be many questions; who gets none asks again.
const (
	queriesMax = 1024
	pingsMax   = 1024
)

// halvesMax is for a burst of answers from other brokers, all measured. What is
// dropped is told without what the other broker knows.
const halvesMax = 2 << 10

// New returns a service that knows no account yet; see Bind.
func New(cfg Config) *Service {
	return &Service{
		cfg: cfg, queries: cfg.Host.NewInbox(queriesMax), pings: cfg.Host.NewInbox(pingsMax), packs: cfg.Host.NewInbox(packsMax), answers: cfg.Host.NewInbox(calloutsMax),
		halves: cfg.Host.NewInbox(halvesMax),
		rates:  ration.NewTable(), dirty: make(map[*account.Account]bool), wake: make(chan struct{}, 1),
	}
}

// account returns the system account; nil while it is not known.
func (s *Service) account() *account.Account {
	if b := s.bound.Load(); b != nil {
		return b.account
	}
	return nil
}

var errEvicted = errors.New("the system account was evicted just now")

// Bind subscribes in the system account, if there is one and it is not bound
// already. It is called again whenever the account may be another.
func (s *Service) Bind(ctx context.Context) error {
	key := s.cfg.Account()
	if key == "" {
		return nil
	}
	s.binding.Lock()
	defer s.binding.Unlock()
	a, err := s.cfg.Accounts.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("system account %s: %w", key, err)
	}
	old := s.bound.Load()
	if old != nil && old.account == a {
		return nil
	}
	if !a.Pin() {
		return errEvicted
	}
	next := &binding{account: a}
	for _, sub := range s.subscriptions() {
		in, err := sub.in(a)
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", sub.subject, err)
		}
		next.subs = append(next.subs, in)
	}
	s.bound.Store(next)
	if old != nil {
		for _, sub := range old.subs {
			sub.Close()
		}
	}
	return nil
}

// How often what is periodic happens.
const (
	heartbeat = 30 * time.Second       // of accounts with connections
	statszMin = 250 * time.Millisecond // of our figures, at first, and then twice as long each time
	statszMax = 10 * time.Second
	connsWait = 50 * time.Millisecond // from a change of connections to its event: more of them go in one
)

// Run answers and publishes until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	s.group = lifecycle.NewGroup(ctx)
	s.group.Go(s.pings.Run)
	s.group.Go(s.queries.Run)
	s.group.Go(s.answers.Run)
	s.group.Go(s.halves.Run)
	s.group.Go(s.announceConnections)
	s.group.Go(s.keepTime)
	if s.cfg.Kin != nil {
		s.group.Go(s.divideRates)
	}
	if s.cfg.Full {
		s.group.Go(s.packs.Run)
		s.group.Go(s.syncStores)
	}
	return s.group.Wait()
}

// keepTime does what is periodic.
func (s *Service) keepTime(ctx context.Context) error {
	next, beat := statszMin, time.Now()
	t := time.NewTimer(next)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-t.C:
			if err := s.Bind(ctx); err != nil {
				s.cfg.Log.Warn("the system account is not to be had; trying again", "err", err)
			}
			s.broadcast()
			s.forget()
			s.asks.sweep(now)
			if now.Sub(beat) >= heartbeat {
				beat = now
				s.beat()
			}
			next = min(2*next, statszMax)
			t.Reset(next)
		}
	}
}
