package dataplane

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/monitor"
	"github.com/coveymq/covey/dataplane/internal/resolver"
	"github.com/coveymq/covey/dataplane/internal/system"
)

// openMonitor makes what tells of the broker, over HTTP if that is wanted.
func (b *Broker) openMonitor(ctx context.Context) (err error) {
	var l net.Listener
	if b.cfg.MonitorAddr != "" {
		if l, err = listen(ctx, "monitoring", b.cfg.MonitorAddr); err != nil {
			return err
		}
	}
	b.monitor = monitor.New(l, b.host, b.accounts, monitor.Static{
		ServerID: b.id, ServerName: b.cfg.ServerName, Level: Level, Version: b.cfg.Version, Started: b.started,
		BasePath: b.cfg.MonitorBasePath, Digest: b.cfg.ConfigDigest, Labels: b.cfg.Labels, Metrics: b.scrape(), TLS: b.cfg.MonitorTLS,
	}, b.mesh)
	return nil
}

// ownSystem gives a broker of a control plane an account in which it and the
// others of its cluster tell each other how many connections accounts have.
// Nobody can sign in to it.
func (b *Broker) ownSystem() {
	if b.mesh == nil {
		return
	}
	key := b.systemAccount()
	b.accounts.Add(account.New(key, account.NoUsage{}, &account.State{Name: key, Limits: auth.Unlimited()}))
	b.host.SystemAccount = key
}

// joinSystem lets the broker answer in the system account. If the account is not
// to be had now, that is tried again while the broker runs.
func (b *Broker) joinSystem(ctx context.Context) error {
	c := system.Config{
		ID: b.id, Name: b.cfg.ServerName, Address: b.host.Info.Host, Version: Level,
		Account: func() string { return b.host.SystemAccount },
		Host:    b.host, Accounts: b.accounts, Monitor: b.monitor, Peers: b.peers, Peer: b.peer(), Kin: b.kin(), Log: b.cfg.Logger,
		Reload: func(ctx context.Context) error {
			if b.reload == nil {
				return errNoFile
			}
			return b.reload(ctx)
		},
	}
	b.resolveBySystem(&c)
	b.system = system.New(c)
	if err := b.delegate(); err != nil {
		return err
	}
	b.host.Events, b.host.Services, b.host.Tracer, b.host.Halves = b.system, b.system, b.system, b.system
	if b.host.SystemAccount != "" {
		b.host.Node = b.system.Node()
	}
	if b.resolver != nil && b.resolver.Store() != nil {
		b.resolver.Ask(b.system.Find)
	}
	if err := b.system.Bind(ctx); err != nil {
		b.cfg.Logger.Warn("the system account is not to be had; trying again", "err", err)
	}
	return nil
}

// delegate lets services decide who clients are, where there are any.
func (b *Broker) delegate() error {
	xkey, err := nkeys.CreateCurveKeys()
	if err != nil {
		return fmt.Errorf("server curve key: %w", err)
	}
	who := auth.Broker{
		Key: b.key, XKey: xkey, ID: b.id, Name: b.cfg.ServerName, Host: b.host.Info.Host, Version: Level,
		Tags:    func() []string { return b.monitor.Labels().Tags },
		Timeout: func() time.Duration { return b.host.Options().AuthTimeout },
		Cluster: func() string {
			if c := b.host.Cluster(); c != nil {
				return c.Name
			}
			return ""
		},
	}
	b.host.Auth = auth.NewDelegate(b.host.Auth, who, b.accounts, b.system, func() *auth.Callout {
		if b.static == nil {
			return nil
		}
		return b.static.Current().Callout()
	})
	return nil
}

// peer says whether a server is in the cluster; nil outside of one.
func (b *Broker) peer() func(id string) bool {
	if b.mesh == nil {
		return nil
	}
	return b.mesh.Has
}

// kin says which servers of the cluster are of our kind; nil outside of one.
func (b *Broker) kin() func() []string {
	if b.mesh == nil {
		return nil
	}
	return b.mesh.Kin
}

// syncInterval is how often a broker that holds all accounts asks the others for
// what it may not have, by default and as in nats-server.
const syncInterval = time.Minute

// resolveBySystem lets claims come and go over $SYS, if an operator signs them.
func (b *Broker) resolveBySystem(c *system.Config) {
	if b.resolver == nil {
		return
	}
	r := &b.cfg.Operator.Resolver
	c.Resolver, c.Full = b.resolver, b.resolver.Store() != nil && !r.Cache
	c.Interval, c.Timeout = cmp.Or(r.Interval, syncInterval), cmp.Or(r.Timeout, resolver.FetchTimeout)
}

// peers is how many other brokers there are in the cluster.
func (b *Broker) peers() int {
	if b.mesh == nil {
		return 0
	}
	_, peers := b.mesh.Count()
	return peers
}
