package dataplane

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/route"
	"github.com/coveymq/covey/dataplane/internal/secure"
)

// Cluster joins a broker to others, ours or nats-server's, over routes.
type Cluster struct {
	// Name is the cluster's. Without one a name is made up, and given up for the
	// one that another broker brings.
	Name string
	// Listen is host:port for other brokers; port 0 takes any free one. Default
	// 127.0.0.1:6222.
	Listen string
	// Advertise is host:port at which the others reach it, if that is not Listen.
	Advertise string
	// Routes are brokers to connect to. One is enough to learn of the others.
	Routes []RouteURL
	// PoolSize is over how many connections to each broker the accounts spread: 0
	// for 3, as in nats-server, negative for one connection without pooling.
	PoolSize int
	// User and Password are what other brokers have to show.
	User     string
	Password RoutePassword
	// Accounts have a connection each beside the pool.
	Accounts []string
	// AuthTimeout bounds the handshake between brokers; 0 for the default.
	AuthTimeout time.Duration
	// TLS encrypts routes; nil for none.
	TLS *secure.Settings
	// Permissions say what crosses routes.
	Permissions route.Permissions
	// Compression is how it is compressed; the zero value is: if a peer asks.
	Compression route.Compression
	// ConnectRetries is how often more a broker is tried that is not in Routes, and
	// ConnectBackoff whether the pause between tries grows.
	ConnectRetries int
	ConnectBackoff bool
	// ConnectReports and ReconnectReports are at every how many failures to reach a
	// broker one is logged, for the first time and later; 0 for the defaults.
	ConnectReports, ReconnectReports int
	// PingInterval is how often a peer is asked whether it is still there, PingMax
	// how many questions may be without an answer, and WriteDeadline how long a
	// peer may take nothing; 0 for the defaults.
	PingInterval  time.Duration
	PingMax       int
	WriteDeadline time.Duration
	// Hasty gives a peer up that does not take all it is offered in that time.
	Hasty bool
	// NoAdvertise keeps the addresses for clients from the other brokers.
	NoAdvertise bool
	// SystemAccount has a connection of its own, and must be the same for all.
	// Default is the configuration's, or $SYS.
	SystemAccount string
}

// Peers returns how many other brokers it is wholly connected with.
func (b *Broker) Peers() int {
	if b.mesh == nil {
		return 0
	}
	return b.mesh.Whole()
}

// RouteURL is where a broker listens for routes. It prints itself without its
// password.
type RouteURL = route.URL

// RoutePassword is a password between brokers. It prints itself redacted.
type RoutePassword = route.Secret

// ParseRouteURL reads nats-route://[user:password@]host:port.
func ParseRouteURL(s string) (RouteURL, error) { return route.ParseURL(s) }

const defaultRouteAddr = "127.0.0.1:6222"

// join opens the listener for routes.
func (b *Broker) join(ctx context.Context) error {
	l, err := listen(ctx, "routes", cmp.Or(b.cfg.Cluster.Listen, defaultRouteAddr))
	if err != nil {
		return err
	}
	b.mesh, err = route.New(b.routes(b.cfg.Cluster), l, b.host)
	if err != nil {
		_ = l.Close() // the first error says more
	}
	return err
}

// routes is what the mesh needs to know.
func (b *Broker) routes(c *Cluster) route.Config {
	return route.Config{
		ServerID: b.id, ServerName: b.cfg.ServerName, Version: Level, Name: c.Name, Advertise: c.Advertise, Routes: c.Routes,
		PoolSize: c.PoolSize, Accounts: c.Accounts, User: c.User, Password: c.Password, AuthTimeout: c.AuthTimeout,
		TLS: c.TLS, Permissions: c.Permissions, Compression: c.Compression,
		ConnectRetries: c.ConnectRetries, ConnectBackoff: c.ConnectBackoff, NoAdvertise: c.NoAdvertise,
		ConnectReports: c.ConnectReports, ReconnectReports: c.ReconnectReports,
		PingInterval: c.PingInterval, PingMax: c.PingMax, WriteDeadline: c.WriteDeadline, Hasty: c.Hasty,
		SystemAccount: b.systemAccount(), ClientURLs: b.clientAddrs(), MaxPayload: b.cfg.Clients.MaxPayload, NoHeaders: b.cfg.NoHeaders, Log: b.cfg.Logger,
	}
}

// ReloadCluster puts another configuration of the cluster in force. Name and
// listener stay as they are.
func (b *Broker) ReloadCluster(c *Cluster) error {
	b.reloads.Lock()
	defer b.reloads.Unlock()
	if b.mesh == nil {
		return errNoCluster
	}
	return b.mesh.Reload(b.routes(c))
}

// errNoCluster is the answer to a change of what is not there.
var errNoCluster = errors.New("the broker is in no cluster")

// clusterOf is the cluster that a configuration describes.
func clusterOf(o *config.Options) *Cluster {
	c := o.Cluster
	return &Cluster{
		Name: c.Name, Listen: joinPort(c.Host, max(c.Port, 0)), Advertise: c.Advertise, Routes: c.Routes, PoolSize: c.PoolSize, Accounts: c.Accounts,
		User: c.User, Password: c.Password, AuthTimeout: c.AuthTimeout, TLS: c.TLS, Permissions: c.Permissions, Compression: c.Compression,
		ConnectRetries: c.ConnectRetries, ConnectBackoff: c.ConnectBackoff, NoAdvertise: c.NoAdvertise,
		PingInterval: c.PingInterval, PingMax: c.PingMax, WriteDeadline: c.WriteDeadline, Hasty: c.Hasty,
		ConnectReports: o.ConnectReports, ReconnectReports: o.ReconnectReports,
	}
}

// systemAccount is the account that has a connection of its own; empty for none.
func (b *Broker) systemAccount() string {
	switch {
	case b.cfg.Cluster.SystemAccount != "":
		return b.cfg.Cluster.SystemAccount
	case b.cfg.ControlPlane != nil:
	case b.cfg.Operator != nil:
		return b.cfg.Operator.System
	case b.cfg.Access != nil:
		return b.cfg.Access.System
	}
	return auth.SystemAccount
}

// clientAddrs are the addresses that clients may use: the one that is listened
// on or, for all interfaces, each of theirs.
func (b *Broker) clientAddrs() []string {
	if host, port, err := config.HostPort(b.cfg.Advertise, b.port()); err == nil {
		return []string{net.JoinHostPort(host, strconv.Itoa(port))}
	}
	host, port, err := net.SplitHostPort(b.clients.Addr().String())
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return []string{net.JoinHostPort(host, port)}
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		b.cfg.Logger.Warn("addresses for clients not known", "err", err)
		return nil
	}
	var out []string
	for _, a := range interfaces {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			out = append(out, net.JoinHostPort(n.IP.String(), port))
		}
	}
	return out
}

// RouteURL is where other brokers connect; empty outside of a cluster.
func (b *Broker) RouteURL() string {
	if b.mesh == nil {
		return ""
	}
	return "nats-route://" + b.mesh.Addr()
}
