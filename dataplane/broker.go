package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nkeys"
	"go.opentelemetry.io/otel/metric"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/limit"
	"github.com/coveymq/covey/dataplane/internal/lookout"
	"github.com/coveymq/covey/dataplane/internal/monitor"
	"github.com/coveymq/covey/dataplane/internal/resolver"
	"github.com/coveymq/covey/dataplane/internal/route"
	"github.com/coveymq/covey/dataplane/internal/system"
	"github.com/coveymq/covey/dataplane/internal/telemetry"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/lifecycle"
)

// Broker is one broker. New opens its listeners, Run serves until its context
// ends.
type Broker struct {
	cfg      Config
	id       string        // the server id, made at each start
	key      nkeys.KeyPair // its secret part
	host     *conn.Host
	accounts *account.Registry
	fleet    *enrolment // nil when standing alone
	clients  net.Listener
	mesh     *route.Mesh // nil outside of a cluster
	monitor  *monitor.Server
	system   *system.Service
	metrics  *telemetry.Provider // nil without metrics of its own
	readings metric.Registration // of metrics; nil without any
	started  time.Time
	months   *limit.Months
	resolver *resolver.Resolver // nil without an operator of its own
	// sentinels knows who stands in for clients that bring no JWT.
	sentinels *auth.Operator // nil without an operator of its own
	static    *auth.Switch   // nil unless the configuration says who may connect
	reloads   sync.Mutex     // held while the configuration changes
	hurry     chan struct{}  // closed when a goodbye that is under way must end at once
	hurried   sync.Once
	reload    func(context.Context) error // reads the configuration again; see service
	profiles  net.Listener                // nil for none
}

// GlobalAccount is the one account of a broker without authentication, by
// nats-server's name.
const GlobalAccount = auth.GlobalAccount

// New opens the listeners and, if the broker is to be enrolled, its state
// directory and identity. The error says what is in the way and what to do.
func New(ctx context.Context, cfg Config) (_ *Broker, err error) {
	cfg.setDefaults()
	b := &Broker{cfg: cfg, started: time.Now(), hurry: make(chan struct{})}
	if b.key, b.id, err = newServerKey(); err != nil {
		return nil, err
	}
	if b.cfg.ServerName == "" {
		b.cfg.ServerName = b.id
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.release())
		}
	}()
	if err = b.openMonths(); err != nil {
		return nil, err
	}
	b.host = &conn.Host{Log: cfg.Logger}
	b.host.SetOptions(*b.cfg.Clients)
	if b.clients, err = listen(ctx, "NATS", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))); err != nil {
		return nil, err
	}
	if cfg.Cluster != nil {
		if err = b.join(ctx); err != nil {
			return nil, err
		}
	}
	if err = b.assemble(ctx); err != nil {
		return nil, err
	}
	b.host.Info = b.info()
	b.advertise(cfg.Advertise)
	if err = b.openMetrics(ctx); err != nil {
		return nil, err
	}
	if err = b.openMonitor(ctx); err != nil {
		return nil, err
	}
	if err = b.openProfile(ctx); err != nil {
		return nil, err
	}
	if err = b.joinSystem(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

func (c *Config) setDefaults() {
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	if c.Drain == (Drain{}) {
		c.Drain = DefaultDrain()
	}
	if c.Clients == nil {
		o := conn.DefaultOptions()
		c.Clients = &o
	}
	c.Limits = defaultLimits(c.Limits)
}

// openMonths opens what accounts have used of this month, kept in the state
// directory if there is one.
func (b *Broker) openMonths() (err error) {
	dir := ""
	if b.cfg.StateDir != "" {
		dir = filepath.Join(b.cfg.StateDir, "limits")
	}
	b.months, err = limit.OpenMonths(dir, b.started, b.cfg.Logger)
	return err
}

// assemble builds accounts and authentication, by the control plane or alone.
func (b *Broker) assemble(ctx context.Context) error {
	if b.cfg.ControlPlane != nil {
		e, err := enrol(ctx, b)
		if err != nil {
			return err
		}
		b.fleet = e
		b.accounts = e.accounts
		b.accounts.Defaults, b.accounts.Months = b.cfg.Limits, b.months
		b.watchAccounts()
		b.ownSystem()
		b.host.Auth = auth.NewOperator(e.accounts)
		b.host.NewIntent = e.newIntent
		b.host.Refusals, b.host.Seen = e.refusals, e.seen
	} else if err := b.standAlone(ctx); err != nil {
		return err
	}
	b.host.Accounts = b.accounts
	return nil
}

// watchAccounts lets the mesh hear which accounts are loaded.
func (b *Broker) watchAccounts() {
	if b.mesh != nil {
		b.accounts.Watch(b.mesh)
	}
}

func (b *Broker) info() conn.Info {
	return conn.Info{
		ServerID: b.id, ServerName: b.cfg.ServerName, Version: Level, Proto: 1, Go: runtime.Version(),
		Host: b.cfg.Host, Port: b.port(), Headers: !b.cfg.NoHeaders, MaxPayload: b.cfg.Clients.MaxPayload,
	}
}

// advertise tells clients to connect to another address than the listener's;
// empty for that one.
func (b *Broker) advertise(addr string) {
	if host, port, err := config.HostPort(addr, b.port()); err == nil {
		b.host.Advertise(&conn.Address{Host: host, Port: port})
		return
	}
	b.host.Advertise(nil)
}

// newServerKey returns a fresh server key, as nats-server uses, and its public
// part.
func newServerKey() (nkeys.KeyPair, string, error) {
	kp, err := nkeys.CreateServer()
	if err != nil {
		return nil, "", fmt.Errorf("server key: %w", err)
	}
	id, err := kp.PublicKey()
	return kp, id, err
}

// listen opens a TCP listener and explains why it cannot.
func listen(ctx context.Context, what, addr string) (net.Listener, error) {
	// PINGs find dead connections; the kernel's own probes would cost four more
	// system calls for each accept.
	lc := net.ListenConfig{KeepAlive: -1}
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "LISTEN_FAILED", "cannot listen for %s on %s", what, addr).
			WithCause(err).WithNext("stop what uses that port, or choose another one (0 for any free one)")
	}
	return l, nil
}

func (b *Broker) port() int {
	if a, ok := b.clients.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return b.cfg.Port
}

// ClientURL is where clients connect.
func (b *Broker) ClientURL() string { return "nats://" + b.clients.Addr().String() }

// MonitorURL is where monitoring is served; empty if it is not.
func (b *Broker) MonitorURL() string {
	if b.monitor.Addr() == "" {
		return ""
	}
	return b.monitor.Scheme() + "://" + b.monitor.Addr()
}

// evictAfter is how long an account stays loaded without connections.
const evictAfter = 10 * time.Minute

// Run serves until ctx ends, then drains: it closes the listener, tells clients
// to go elsewhere, disconnects those that stay, and reports the last usage. It
// returns an error only if something failed.
func (b *Broker) Run(ctx context.Context) error {
	serving := lifecycle.NewGroup(context.WithoutCancel(ctx)) // ends when the drain is over
	serving.Go(b.host.Run)
	serving.Go(lookout.Run)
	serving.Go(b.evict)
	serving.Go(b.accounts.Run)
	serving.Go(b.settle)
	serving.Go(b.months.Run)
	serving.Go(b.monitor.Run)
	serving.Go(b.system.Run)
	if b.profiles != nil {
		serving.Go(b.serveProfiles)
	}
	if b.mesh != nil {
		serving.Go(b.mesh.Run)
	}
	if b.fleet != nil {
		b.fleet.start(serving, b.host)
	}
	accepting := lifecycle.NewGroup(serving.Context())
	accepting.Go(b.accept)
	b.announce()

	select {
	case <-ctx.Done():
	case <-accepting.Context().Done():
	}
	accepting.Stop()
	err := accepting.Wait()
	b.drain(context.Cause(ctx), serving)
	serving.Stop()
	err = errors.Join(err, serving.Wait(), b.release())
	b.cfg.Logger.Info("Server Exiting..")
	return err
}

// accept serves each connection in its own goroutine; the host waits for them.
func (b *Broker) accept(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = b.clients.Close() })
	defer stop()
	pause := lifecycle.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		nc, err := b.clients.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = nc.Close()
			}
			return nil
		case err != nil:
			// Out of file descriptors, most likely: others will be freed.
			b.cfg.Logger.Error("accept failed", "err", err)
			if pause.Wait(ctx) != nil {
				return nil
			}
		default:
			pause.Reset()
			b.host.Go(nc)
		}
	}
}

// evict unloads accounts that nobody has used for a while.
func (b *Broker) evict(ctx context.Context) error {
	t := time.NewTicker(evictAfter / 10)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-t.C:
			b.accounts.Evict(now, evictAfter)
		}
	}
}

// release closes what New opened and Run has not closed.
func (b *Broker) release() error {
	var all []error
	if b.clients != nil {
		if err := b.clients.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			all = append(all, err)
		}
	}
	if b.mesh != nil {
		all = append(all, b.mesh.Close())
	}
	if b.monitor != nil {
		all = append(all, b.monitor.Close())
	}
	if b.resolver != nil {
		b.resolver.Close()
	}
	all = append(all, b.closeMetrics(), b.closeProfiles())
	if b.fleet != nil {
		all = append(all, b.fleet.close())
	}
	return errors.Join(all...)
}
