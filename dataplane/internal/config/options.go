package config

import (
	"errors"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/natslog"
	"github.com/coveymq/covey/dataplane/internal/resolver"
	"github.com/coveymq/covey/dataplane/internal/secure"
)

// AnyPort asks for any free port.
const AnyPort = -1

// Defaults of what Options leaves open.
const (
	DefaultHost = "127.0.0.1"
	DefaultPort = 4222
)

// Options is everything a broker can be told.
type Options struct {
	// File is the configuration file and Digest what it says, as nats-server
	// digests it; both empty without a file.
	File, Digest string

	// Host and Port are where clients connect. Port may be AnyPort.
	Host string
	Port int
	// Advertise is the host:port that clients are told, if not the listener's.
	Advertise string
	// MonitorHost and MonitorPort are where monitoring is served. Port 0 is for
	// not at all; it may be AnyPort.
	MonitorHost string
	MonitorPort int
	// MonitorTLSPort serves monitoring over TLS instead, with the certificates of
	// TLS.
	MonitorTLSPort int
	// MonitorBasePath is in front of the paths of monitoring.
	MonitorBasePath string
	// Profile is where profiles are served.
	Profile Profile
	// ServerName is the broker's name for people.
	ServerName string
	// Tags and Metadata are what else is shown of it.
	Tags     []string
	Metadata map[string]string
	// NoHeaders switches message headers off.
	NoHeaders bool
	// Clients are the limits of connections.
	Clients conn.Options
	// LameDuckGrace is how long clients may leave by themselves, LameDuckDuration
	// how long the whole goodbye takes.
	LameDuckGrace, LameDuckDuration time.Duration
	// PidFile and PortsFileDir are where the process says who and where it is.
	PidFile, PortsFileDir string
	// Log says where log lines go.
	Log natslog.Options
	// Access says who may connect, unless Operator or Covey does.
	Access auth.Access
	// TLS says how clients' connections are encrypted; nil for not at all. What it
	// names is in Clients. AllowPlain admits others as well.
	TLS        *secure.Options
	AllowPlain bool
	// Operator is the trust root of accounts that the file carries; nil for none.
	Operator *Operator
	// ConnectReports and ReconnectReports are at every how many failures to reach
	// another broker one is logged, for the first time and later; 0 for the default.
	ConnectReports, ReconnectReports int
	// Cluster joins the broker to others; nil to stand alone.
	Cluster *Cluster
	// Covey is our own block.
	Covey Covey

	// Warnings are what is accepted but worth a word.
	Warnings Problems

	authTimeout bool // it was given
}

// Operator is who signs the accounts of a broker that stands alone.
type Operator struct {
	// Tokens are the JWTs of the operators.
	Tokens []string
	// Keys sign accounts where there are no Tokens.
	Keys []string
	// Accounts are signed claims in the file, by the account's public key.
	Accounts map[string]string
	// Verified knows that their signatures are good.
	Verified *account.Verified
	// System is the public key of the system account; empty for none.
	System string
	// Resolver is where other accounts come from.
	Resolver Resolver
	// Pinned are the only accounts that count; nil for all.
	Pinned []string
	// Sentinel is the user JWT of clients that bring none; empty for none.
	Sentinel string
}

// Resolver is where accounts come from that the file does not carry. Without a
// URL and a directory there are no others.
type Resolver struct {
	URL   string
	TLS   *secure.Options // of the URL; nil for what Go does by default
	Dir   string
	Cache bool // the directory may forget
	Limit int
	TTL   time.Duration
	// Removal is what becomes of accounts that are deleted over $SYS.
	Removal resolver.Removal
	// Interval is how often others are asked for what is not in the directory.
	Interval time.Duration
	// Timeout bounds the wait for others' answer to a look-up.
	Timeout time.Duration
}

// Covey is where a broker is enrolled.
type Covey struct {
	ControlPlane, OTLP, OperatorPublicKey string
	JoinTokenFile, StateDir               string

	// MetricsPush is the URL of an OTLP receiver for metrics, empty for none, and
	// MetricsInterval how often they are pushed, 0 for once a minute.
	MetricsPush     string
	MetricsInterval time.Duration

	// Limits are those of accounts that do not state their own.
	Limits accounts.Quotas
}

// Default returns what holds without a file and flags.
func Default() *Options {
	return &Options{
		Clients:       conn.DefaultOptions(),
		LameDuckGrace: 10 * time.Second, LameDuckDuration: 2 * time.Minute,
		Log:    natslog.Options{Time: true},
		Access: auth.Access{System: auth.SystemAccount},
	}
}

// resolve fills in what depends on something else.
func (o *Options) resolve() {
	if o.Host == "" {
		o.Host = DefaultHost
	}
	if o.Port == 0 {
		o.Port = DefaultPort
	}
	if o.MonitorHost == "" {
		o.MonitorHost = o.Host
	}
	o.Clients.Trace.On = o.Log.Trace
}

// checkMonitoring sees whether monitoring can be served as it is asked for.
func (o *Options) checkMonitoring() error {
	switch {
	case o.MonitorTLSPort == 0:
		return nil
	case o.MonitorPort != 0:
		return errBothMonitors
	case o.TLS == nil:
		return errMonitorTLS
	}
	return nil
}

var (
	errBothMonitors = errors.New("monitoring is served over HTTP or over HTTPS, not over both: leave out http or https")
	errMonitorTLS   = errors.New("https needs the certificates of a tls block")
)
