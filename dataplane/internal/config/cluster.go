package config

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/route"
	"github.com/coveymq/covey/dataplane/internal/secure"
)

// Cluster is how a broker joins others.
type Cluster struct {
	Name string
	// Host and Port are where other brokers connect. Port may be AnyPort.
	Host string
	Port int
	// Advertise is the host:port that other brokers are told, if not the listener's.
	Advertise      string
	NoAdvertise    bool
	User           string
	Password       route.Secret
	Routes         []route.URL
	PoolSize       int
	Accounts       []string
	AuthTimeout    time.Duration
	TLS            *secure.Settings
	Permissions    route.Permissions
	Compression    route.Compression
	ConnectRetries int
	ConnectBackoff bool
	PingInterval   time.Duration
	PingMax        int
	WriteDeadline  time.Duration
	Hasty          bool // with what it does not take in that time
}

// cluster returns the cluster, made if there is none.
func (o *Options) cluster() *Cluster {
	if o.Cluster == nil {
		o.Cluster = &Cluster{Host: DefaultHost}
	}
	return o.Cluster
}

// cluster reads the block of that name.
func (f *file) cluster(n node) {
	c := f.o.cluster()
	t := table{}
	t.add(f.clusterName, "name")
	t.add(f.listen(&c.Host, &c.Port), "listen")
	t.add(f.str(&c.Host), "host", "net")
	t.add(f.port(&c.Port), "port")
	t.add(f.clusterAdvertise, "advertise", "cluster_advertise")
	t.add(f.boolean(&c.NoAdvertise), "no_advertise")
	t.add(f.clusterAuthorization, "authorization")
	t.add(f.routes, "routes")
	t.add(integer(&f.reader, &c.PoolSize, -1, maxPoolSize), "pool_size")
	t.add(integer(&f.reader, &c.ConnectRetries, 0, math.MaxInt32), "connect_retries")
	t.add(f.boolean(&c.ConnectBackoff), "connect_backoff")
	t.add(f.clusterCompression, "compression")
	t.add(f.clusterTLS, "tls")
	t.add(f.clusterPermissions, "permissions")
	t.add(func(n node) { c.Accounts, _ = f.strs(n) }, "accounts")
	t.add(f.clusterPing, "ping_interval")
	t.add(integer(&f.reader, &c.PingMax, 0, math.MaxInt32), "ping_max")
	t.add(f.duration(&c.WriteDeadline, true), "write_deadline")
	t.add(func(n node) {
		patient := true
		f.writeTimeout(&patient, true)(n)
		c.Hasty = !patient
	}, "write_timeout")
	f.block(n, t)
	if len(c.Accounts) > 0 && c.PoolSize < 0 {
		f.problem(n, "accounts cannot have routes of their own with pool_size -1")
	}
	if c.Port == 0 {
		f.problem(n, "cluster needs listen or port")
	}
}

// maxPoolSize is from where on a pool size looks like a mistake.
const maxPoolSize = 255

func (f *file) clusterName(n node) {
	v, ok := as[string](&f.reader, n, "a string")
	switch {
	case !ok:
	case v == "" || v == "_" || strings.ContainsAny(v, " \t\r\n"):
		f.problem(n, "%q cannot be a cluster's name", v)
	default:
		f.o.Cluster.Name = v
	}
}

func (f *file) clusterAdvertise(n node) {
	v, ok := as[string](&f.reader, n, "a string")
	if !ok {
		return
	}
	host, port, err := HostPort(v, defaultRoutePort)
	if err != nil {
		f.problem(n, "%s is %q: %v", n.key, v, err)
		return
	}
	f.o.Cluster.Advertise = net.JoinHostPort(host, strconv.Itoa(port))
}

const defaultRoutePort = 6222

func (f *file) clusterAuthorization(n node) {
	c := f.o.Cluster
	password := ""
	t := table{}
	t.add(f.str(&c.User), "user", "username")
	t.add(f.str(&password), "pass", "password")
	t.add(f.secondsOrDuration(&c.AuthTimeout), "timeout")
	t.add(f.refuse("cluster authorization takes one user and password, not %s"), "token", "users")
	t.add(func(n node) {
		f.warn(n, "permissions belong into the cluster block itself, not into its authorization")
		if c.Permissions == (route.Permissions{}) {
			f.clusterPermissions(n)
		}
	}, "permissions", "default_permission", "default_permissions")
	f.block(n, t)
	c.Password = route.Secret(password)
	if (c.User == "") != (password == "") {
		f.problem(n, "a user needs a password, and a password a user")
	}
	if strings.HasPrefix(password, "$2") {
		f.problem(n, "a bcrypt password of a cluster is not supported yet")
	}
}

func (f *file) routes(n node) {
	all, ok := f.strs(n)
	if !ok {
		return
	}
	for _, s := range all {
		u, err := route.ParseURL(s)
		if err != nil {
			f.problem(n, "%v", err)
			continue
		}
		f.o.Cluster.Routes = append(f.o.Cluster.Routes, u)
	}
}

// defineCluster defines the flags that stand for the cluster block.
func (p *parser) defineCluster() {
	for _, name := range [...]string{"cluster", "cluster_listen"} {
		p.Func(name, "", func(v string) error {
			host, port, user, password, err := clusterURL(v)
			if err != nil {
				return err
			}
			p.override(func(o *Options) {
				c := o.cluster()
				c.Host, c.Port = host, port
				if user != "" {
					c.User, c.Password = user, password
				}
			})
			return nil
		})
	}
	p.Func("routes", "", func(v string) error {
		var all []route.URL
		for _, s := range strings.Split(v, ",") {
			u, err := route.ParseURL(strings.TrimSpace(s))
			if err != nil {
				return err
			}
			all = append(all, u)
		}
		p.override(func(o *Options) { o.cluster().Routes = all })
		return nil
	})
	p.str(func(o *Options, v string) { o.cluster().Name = v }, "cluster_name")
	p.str(func(o *Options, v string) { o.cluster().Advertise = v }, "cluster_advertise")
	p.num(0, math.MaxInt32, func(o *Options, n int64) { o.cluster().ConnectRetries = int(n) }, "connect_retries")
	p.boolean(func(o *Options, v bool) { o.cluster().NoAdvertise = v }, "no_advertise")
}

// clusterURL reads the URL that a cluster listens on. An error never has a
// password in it.
func clusterURL(s string) (host string, port int, user string, password route.Secret, err error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Port() == "" {
		return "", 0, "", "", fmt.Errorf("not a URL such as nats://host:%d", defaultRoutePort)
	}
	port, err = strconv.Atoi(u.Port())
	if err != nil {
		return "", 0, "", "", fmt.Errorf("not a port: %q", u.Port())
	}
	if port == 0 {
		port = AnyPort
	}
	text, _ := u.User.Password()
	return u.Hostname(), port, u.User.Username(), route.Secret(text), nil
}

// fault says what is wrong with a cluster, if anything is.
func (c *Cluster) fault() error {
	switch {
	case c == nil:
		return nil
	case c.Port == 0:
		return fmt.Errorf("routes need a cluster to listen, e.g. --cluster nats://%s:%d", DefaultHost, defaultRoutePort)
	case c.Name == "_" || strings.ContainsAny(c.Name, " \t\r\n"):
		return fmt.Errorf("%q cannot be a cluster's name", c.Name)
	}
	if c.Advertise != "" {
		host, port, err := HostPort(c.Advertise, defaultRoutePort)
		if err != nil {
			return fmt.Errorf("cluster_advertise is %q: %w", c.Advertise, err)
		}
		c.Advertise = net.JoinHostPort(host, strconv.Itoa(port))
	}
	return nil
}
