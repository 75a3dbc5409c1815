package conn

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/permission"
	"github.com/coveymq/covey/dataplane/internal/refusals"
	"github.com/coveymq/covey/dataplane/internal/secure"
	"github.com/coveymq/covey/dataplane/internal/seen"
	"github.com/coveymq/covey/dataplane/internal/turn"
)

// Options are the limits and times of client connections, with nats-server's
// defaults; see DefaultOptions.
type Options struct {
	MaxControlLine   int
	MaxPayload       int
	MaxConnections   int
	MaxSubscriptions int // per connection; 0 for no limit
	MaxSubTokens     int // 0 for no limit
	PingInterval     time.Duration
	PingMax          int
	AuthTimeout      time.Duration // from INFO, or from the TLS handshake on
	Egress           egress.Limits
	// NoStall lets who publishes to a client that has nearly too much waiting go on
	// at once, and the client lose it.
	NoStall bool
	// MaxClosed is how many connections that have ended monitoring still shows.
	MaxClosed int
	// TLS is how connections are encrypted; nil for not at all.
	TLS *secure.Settings
	// ProxyProtocol reads who the client is from a load balancer's header, if
	// there is one.
	ProxyProtocol bool
	// Trace is what of the protocol is logged.
	Trace Tracing
}

// DefaultOptions returns nats-server's defaults.
func DefaultOptions() Options {
	return Options{
		MaxControlLine: 4096,
		MaxPayload:     1 << 20,
		MaxConnections: 65536,
		PingInterval:   2 * time.Minute,
		PingMax:        2,
		AuthTimeout:    2 * time.Second,
		Egress:         egress.Limits{MaxPending: 64 << 20, WriteDeadline: 10 * time.Second},
		MaxClosed:      10_000,
	}
}

// Intent is a connection's word in the usage file about a write under way.
type Intent interface {
	Set(usage account.Usage, messages, bytes uint64)
	Clear()
	Release()
}

// Host is what all client connections of a broker share.
type Host struct {
	// Immutable once the first connection is served.
	Auth     auth.Authenticator
	Accounts *account.Registry
	Info     Info // what every client is told; see Client.sendInfo
	Log      *slog.Logger
	// NewIntent returns the usage intent of a connection; nil to keep none.
	NewIntent func() Intent
	// Refusals is told what clients were refused; nil for nobody.
	Refusals *refusals.Book
	// Seen is told with which credentials clients are connected; nil for nobody.
	Seen *seen.Book
	// Events hears of connections; nil for nobody.
	Events Events
	// Services answers requests to the broker itself; nil for nobody.
	Services Services
	// Tracer publishes what became of messages that ask for it; nil for nobody.
	Tracer Tracer
	// Node is what other brokers call this one in what they tell it of requests that
	// it measures, and Halves carries that; empty and nil to measure alone.
	Node   string
	Halves Halves
	// SystemAccount is the key of the account for the broker's own subjects.
	SystemAccount string

	options    atomic.Pointer[Options]
	advertised atomic.Pointer[Address] // nil for that of Info

	Slots  egress.Slots
	inside egress.Conn // stands for the broker where messages come from
	beyond egress.Conn // stands for other brokers, likewise, for answers that go on to others
	wheel  wheel

	turns     turn.Turns
	strangers turn.Share // of those who have not said who they are
	company   company
	lame      atomic.Bool
	noStall   atomic.Bool   // of Options
	epoch     atomic.Uint64 // of what Auth says; see Review
	tooFar    atomic.Int64  // the minute in which that was logged last; see Client.wentTooFar

	cluster  atomic.Pointer[Cluster] // nil when standing alone
	greeters greeters

	// Counters, read by anyone.
	Totals Totals

	closed closedRing

	mu      sync.Mutex
	clients []*Client // in no order; guarded by mu, as is all below
	past    Sum       // of connections that have left
	nextID  uint64
	// Of the clients, those that only wait for their end to be read.
	lingering int
	closing   bool
	resting   bool
	wg        sync.WaitGroup // one for each connection
}

// Totals are counters of all connections, past and present.
type Totals struct {
	Connections   atomic.Uint64
	SlowConsumers atomic.Uint64
	Stale         atomic.Uint64
	AuthErrors    atomic.Uint64
	Shed          account.Shed // by limits of all accounts
}

// Options returns the options in force. They are not to be changed; see
// SetOptions.
func (h *Host) Options() *Options { return h.options.Load() }

// SetOptions puts options in force. It must be called before the first
// connection is served. Later changes to what may be pending for a connection and
// to TLS are for those that connect after them; all else is for all. If there are
// more connections than there may be now, those that came last must go.
func (h *Host) SetOptions(o Options) {
	h.noStall.Store(o.NoStall)
	o.Egress.NoStall = &h.noStall
	before := h.options.Swap(&o)
	if before == nil {
		return
	}
	if before.Trace.On != o.Trace.On {
		h.trace(o.Trace.On)
	}
	if before.MaxPayload != o.MaxPayload {
		for _, c := range h.Clients() {
			c.limitPayload()
		}
	}
	h.shed(o.MaxConnections)
}

// Run keeps the connections' timers until ctx ends.
func (h *Host) Run(ctx context.Context) error { return h.wheel.run(ctx) }

// add registers a connection; false when the host is closing or full.
func (h *Host) add(c *Client) *account.Refusal {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing || h.resting {
		return serverShutdown
	}
	h.nextID++
	c.id = h.nextID
	h.Totals.Connections.Add(1)
	if limit := h.Options().MaxConnections; limit > 0 && len(h.clients)-h.lingering >= limit {
		return tooManyConnections
	}
	c.index = len(h.clients)
	c.listed = true
	h.clients = append(h.clients, c)
	return nil
}

// remove takes a connection out whose counters stand still.
func (h *Host) remove(c *Client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.past.add(c)
	if !c.listed {
		return
	}
	c.listed = false
	if c.lingers {
		h.lingering--
	}
	last := len(h.clients) - 1
	h.clients[c.index] = h.clients[last]
	h.clients[c.index].index = c.index
	h.clients[last] = nil
	h.clients = h.clients[:last]
}

// lingers says that a connection only waits for its client to read why it ended:
// it is none of those that may not be too many.
func (h *Host) lingers(c *Client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.listed {
		c.lingers = true
		h.lingering++
	}
}

// Clients returns the connections there are now, in no order.
func (h *Host) Clients() []*Client {
	all, _ := h.snapshot()
	return all
}

// Sum is of all connections, past and present, but for Connections.
type Sum struct {
	Traffic     account.Traffic
	Stalls      uint64 // how often a publisher waited for a connection
	Connections int    // that there are now
}

func (s *Sum) add(c *Client) {
	s.Traffic.Add(c.Traffic())
	s.Stalls += c.out.Stalls()
}

// snapshot returns the connections there are now and the sum of all others: who
// adds both counts everything once. The lock it takes is one that connects and
// disconnects wait for, for the time of copying a slice, and traffic never.
func (h *Host) snapshot() ([]*Client, Sum) {
	const slack = 64 // those who come while memory is found, outside of the lock
	for {
		all := make([]*Client, h.Len()+slack)
		if n, past, ok := h.copyTo(all); ok {
			return all[:n], past
		}
	}
}

// copyTo copies the list of connections; false if there is no room for all.
func (h *Host) copyTo(all []*Client) (n int, past Sum, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.clients) > len(all) {
		return 0, Sum{}, false
	}
	return copy(all, h.clients), h.past, true
}

// Sum adds all connections up. What it returns never falls, but for Connections.
func (h *Host) Sum() Sum {
	clients, sum := h.snapshot()
	sum.Connections = len(clients)
	for _, c := range clients {
		sum.add(c)
	}
	return sum
}

// Leaving says that the broker is on its way out.
func (h *Host) Leaving() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closing || h.lame.Load()
}

// Len returns how many connections there are.
func (h *Host) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

// Review asks of every connection whether it may stay and by which rules, after
// what Auth says has changed. Connections that were being admitted just then ask
// Auth again.
func (h *Host) Review(judge func(*account.Identity) (*permission.Set, *account.Refusal)) {
	h.epoch.Add(1)
	for _, c := range h.Clients() {
		who := c.shown.Load()
		if who == nil {
			continue
		}
		rules, refusal := judge(who.identity)
		if refusal != nil {
			c.Disconnect(refusal)
			continue
		}
		c.Permit(who.identity, rules)
	}
}

// LameDuck tells every client that can hear it that the broker is going away.
func (h *Host) LameDuck() {
	h.lame.Store(true)
	h.announce()
}

// Cluster is what clients are told of the brokers that belong together.
// Immutable.
type Cluster struct {
	Name    string
	Dynamic bool     // the name was made up
	URLs    []string // host:port of all of them, this one first; none to keep quiet
}

// Cluster returns what clients are told now; nil when standing alone.
func (h *Host) Cluster() *Cluster { return h.cluster.Load() }

// SetCluster changes what clients are told, those that are connected too.
func (h *Host) SetCluster(c *Cluster) {
	h.cluster.Store(c)
	h.announce()
}

func (h *Host) announce() {
	for _, c := range h.Clients() {
		c.announce()
	}
}

// Close ends all connections, evenly over the given time, and returns when they
// are gone. Once ctx ends, those that are left go at once. No new ones are
// admitted.
func (h *Host) Close(ctx context.Context, over time.Duration) {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	clients := h.Clients()
	start := time.Now()
	for i, c := range clients {
		due := start.Add(over * time.Duration(i) / time.Duration(len(clients)))
		if wait := time.Until(due); wait > time.Millisecond {
			pause(ctx, wait)
		}
		c.Disconnect(serverShutdown)
	}
	h.greeters.dismiss()
	h.wg.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
