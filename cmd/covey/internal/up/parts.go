// Package up runs a whole Covey on one machine: a control plane with its own
// store, and one broker or a cluster of them, in one process, on loopback only. It owns the order
// in which they start and drain, the data directory's lock, and the contexts
// that let the command line reach them. It knows the parts by the small
// interfaces below; they talk to each other over loopback mTLS, as they would
// between machines.
package up

import (
	"context"
	"log/slog"
	"time"
)

// Token is a secret that lets a broker join. It prints as a placeholder.
type Token struct{ text string }

// NewToken wraps the text of a token.
func NewToken(text string) Token { return Token{text: text} }

const redacted = "[redacted]"

// Reveal returns the token itself.
func (t Token) Reveal() string { return t.text }

// String returns a placeholder.
func (t Token) String() string { return redacted }

// GoString returns a placeholder.
func (t Token) GoString() string { return redacted }

// LogValue returns a placeholder.
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns a placeholder.
func (t Token) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// ControlPlaneConfig is what a control plane is started with. Addresses are
// host:port; port 0 means any free one.
type ControlPlaneConfig struct {
	DataDir                                string
	APIAddr, HTTPAddr, FleetAddr, OTLPAddr string
	Logger                                 *slog.Logger
}

// ControlPlane is a control plane whose listeners and stores are open.
type ControlPlane interface {
	// Run serves until ctx ends, and has closed everything when it returns.
	Run(ctx context.Context) error
	// The addresses in use, host:port.
	APIAddr() string
	HTTPAddr() string
	FleetAddr() string
	OTLPAddr() string
	// OperatorPublicKey is the nkey that signs all accounts' trust.
	OperatorPublicKey() string
	// BootstrapKey is the first operator's API key, at the start that made it;
	// afterwards it is empty.
	BootstrapKey() string
	// JoinToken makes a secret with which one broker may enrol.
	JoinToken(ctx context.Context, life time.Duration) (string, error)
}

// BrokerConfig is what a broker is started with.
type BrokerConfig struct {
	Name                    string
	ClientAddr, MonitorAddr string // host:port; port 0 means any free one
	ControlPlaneAddr        string
	OTLPAddr                string
	OperatorPublicKey       string
	JoinToken               Token
	StateDir                string
	Cluster                 *Cluster // nil for a broker alone
	Logger                  *slog.Logger
}

// Cluster is how a broker joins the others of this process.
type Cluster struct {
	Password Token    // what they show each other
	Seeds    []string // route URLs of brokers that run already, without password
}

// Broker is a broker whose listeners are open.
type Broker interface {
	// Run serves until ctx ends; then it drains: clients are told, usage is
	// flushed, and everything is closed when it returns.
	Run(ctx context.Context) error
	ClientURL() string
	MonitorURL() string
	// RouteURL is where other brokers connect; empty for a broker alone.
	RouteURL() string
	// Peers returns how many other brokers it is wholly connected with.
	Peers() int
}

// Parts makes the parts.
type Parts struct {
	ControlPlane func(context.Context, ControlPlaneConfig) (ControlPlane, error)
	Broker       func(context.Context, BrokerConfig) (Broker, error)
}
