package route

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/permission"
	"github.com/coveymq/covey/dataplane/internal/secure"
	"github.com/coveymq/covey/internal/errs"
)

// Config is what a broker needs to know to be in a cluster. The zero value of a
// field means its default.
type Config struct {
	// ServerID and ServerName are who we are, Version whose behaviour we show.
	ServerID, ServerName, Version string
	// Name is the cluster's name. Without one a name is made up, and given up for
	// the one that a peer brings.
	Name string
	// Listen is host:port for other brokers.
	Listen string
	// Advertise is host:port at which others reach us, if that is not Listen.
	Advertise string
	// Routes are brokers to connect to. One is enough to learn of the others.
	Routes []URL
	// PoolSize is how many connections the accounts spread over; 0 for
	// nats-server's default, negative for a single connection, without pooling.
	PoolSize int
	// User and Password are asked from those who connect to us, and shown to
	// those we learn of from others.
	User     string
	Password Secret
	// AuthTimeout bounds the handshake between brokers; 0 for the default.
	AuthTimeout time.Duration
	// TLS encrypts routes; nil for none. See secure.LoadPeer.
	TLS *secure.Settings
	// Permissions say what crosses routes.
	Permissions Permissions
	Compression Compression
	// Accounts have a connection each beside the pool.
	Accounts []string
	// ConnectRetries is how often more a broker that we learned of is tried, and
	// ConnectBackoff whether the pause between tries grows.
	ConnectRetries int
	ConnectBackoff bool
	// ConnectReports is at every how many failures to reach a broker for the first
	// time one is logged as an error, the first one always; ReconnectReports the
	// same for one that was reached before. 0 for nats-server's defaults.
	ConnectReports, ReconnectReports int
	// PingInterval is how often a peer is asked whether it is still there, and
	// PingMax how many questions may be without an answer; 0 for the defaults.
	PingInterval time.Duration
	PingMax      int
	// WriteDeadline is how long a peer may take nothing; 0 for the default.
	WriteDeadline time.Duration
	// Hasty gives a peer up that does not take all it is offered in that time.
	Hasty bool
	// NoAdvertise keeps our clients' addresses from the other brokers, and theirs
	// from our clients.
	NoAdvertise bool
	// SystemAccount has a connection of its own beside the pool; empty for none.
	SystemAccount string
	// ClientURLs are where clients find this broker, as host:port.
	ClientURLs []string
	MaxPayload int
	// NoHeaders says that messages have no headers.
	NoHeaders bool
	Log       *slog.Logger

	allowed *permission.Set // Permissions, compiled
}

// Defaults, as in nats-server.
const (
	defaultPoolSize  = 3
	maxControlLine   = 16 * 4096
	handshakeTimeout = 2 * time.Second
	dialTimeout      = time.Second
	writeDeadline    = 10 * time.Second
	firstPing        = time.Second
	pingInterval     = 30 * time.Second
	maxPingInterval  = 30 * time.Second
	pingMax          = 2
	connectReports   = 3600
	reconnectReports = 1
	retryMin         = time.Second
	retryMax         = 30 * time.Second
)

// maxPending bounds what waits for one peer. Beyond it the link is given up, and
// made anew.
const maxPending = 256 << 20

// maxLane bounds what waits for one peer of one account. Its publishers are
// slowed down before.
const maxLane = 64 << 20

func (c *Config) complete() (dynamic bool, err error) {
	if c.PoolSize == 0 {
		c.PoolSize = defaultPoolSize
	}
	c.PoolSize = max(c.PoolSize, 0)
	c.AuthTimeout = cmp.Or(c.AuthTimeout, handshakeTimeout)
	c.ConnectReports = cmp.Or(c.ConnectReports, connectReports)
	c.ReconnectReports = cmp.Or(c.ReconnectReports, reconnectReports)
	c.PingMax = cmp.Or(c.PingMax, pingMax)
	c.PingInterval = cmp.Or(min(c.PingInterval, maxPingInterval), pingInterval)
	c.WriteDeadline = cmp.Or(c.WriteDeadline, writeDeadline)
	c.allowed = c.Permissions.set()
	if c.Compression, err = c.Compression.Normal(); err != nil {
		return false, err
	}
	if len(c.Accounts) > 0 && c.PoolSize == 0 {
		return false, errs.New(errs.Invalid, "CLUSTER_ACCOUNTS", "accounts cannot have routes of their own without a pool").
			WithNext("leave accounts or pool_size -1 away")
	}
	if strings.HasPrefix(c.Password.Reveal(), "$2") {
		return false, errs.New(errs.Invalid, "CLUSTER_PASSWORD_HASHED", "the cluster's password is a bcrypt hash, which is not supported").
			WithNext("give the password itself")
	}
	if strings.ContainsAny(c.Name, " \t\r\n") || c.Name == "_" {
		return false, errs.New(errs.Invalid, "CLUSTER_NAME", "%q cannot be a cluster's name", c.Name).
			WithNext("use a name without blanks, other than _")
	}
	if c.Advertise != "" {
		if _, _, err := net.SplitHostPort(c.Advertise); err != nil {
			return false, errs.New(errs.Invalid, "CLUSTER_ADVERTISE", "%q is not host:port", c.Advertise).WithCause(err)
		}
	}
	if c.Name == "" {
		c.Name = rand.Text()
		return true, nil
	}
	return false, nil
}

// dedicated says whether an account has a connection of its own.
func (c *Config) dedicated(key string) bool {
	return key != "" && (key == c.SystemAccount || slices.Contains(c.Accounts, key))
}

// has says whether there may be such a slot.
func (c *Config) has(s slot) bool { return s.account == "" || c.dedicated(s.account) }

// retryBound is the longest pause between two tries to connect.
func (c *Config) retryBound() time.Duration {
	if c.ConnectBackoff {
		return retryMax
	}
	return retryMin
}

const redacted = "[redacted]"

// Secret is a password that prints itself redacted.
type Secret string

// Reveal returns the secret.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (Secret) String() string { return redacted }

// GoString hides the secret.
func (Secret) GoString() string { return redacted }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the secret.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// URL is where a broker listens for routes. Its password prints itself redacted.
type URL struct {
	Host     string // host:port
	User     string
	Password Secret
}

// ParseURL reads nats-route://[user:password@]host:port; nats:// is taken, too,
// as nats-server does.
func ParseURL(s string) (URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return URL{}, badURL().WithCause(fmt.Errorf("parse: %w", withoutURL(err)))
	}
	if u.Scheme != "nats-route" && u.Scheme != "nats" || u.Hostname() == "" || u.Port() == "" {
		return URL{}, badURL()
	}
	out := URL{Host: u.Host}
	if u.User != nil {
		out.User = u.User.Username()
		password, _ := u.User.Password()
		out.Password = Secret(password)
	}
	return out, nil
}

func badURL() *errs.Error {
	return errs.New(errs.Invalid, "ROUTE_URL", "a route is not a URL of a broker").
		WithNext("write nats-route://host:port, with user:password@ before the host if need be")
}

// withoutURL takes the text that was parsed, and may hold a password, off an
// error.
func withoutURL(err error) error {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // url.Parse returns just that
		return u.Err
	}
	return err
}

// String returns the URL without its password.
func (u URL) String() string {
	if u.User == "" && u.Password == "" {
		return "nats-route://" + u.Host
	}
	return "nats-route://" + url.User(u.User).String() + ":" + redacted + "@" + u.Host
}

// GoString returns the URL without its password.
func (u URL) GoString() string { return u.String() }

// LogValue hides the password.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }
