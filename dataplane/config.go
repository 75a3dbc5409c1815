package dataplane

import (
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/fleet"
	"github.com/coveymq/covey/dataplane/internal/monitor"
)

// Level is the version of nats-server whose behaviour the broker implements.
// Clients are told it, so that they switch their features on.
const Level = config.Level

// JoinToken lets a broker enrol. It prints itself redacted.
type JoinToken = fleet.JoinToken

// Config is what a broker needs to know. The zero value of a field means its
// default, but for Logger, which is required.
type Config struct {
	// Host and Port are where clients connect. The default host is loopback;
	// port 0 takes any free one.
	Host string
	Port int
	// MonitorAddr is host:port of the HTTP monitoring endpoints; empty for none.
	MonitorAddr string
	// MonitorBasePath is in front of the paths of the monitoring endpoints.
	MonitorBasePath string
	// MonitorTLS serves them over TLS, with the certificates of Clients.
	MonitorTLS bool
	// ConfigDigest tells in /varz which configuration file is in force.
	ConfigDigest string
	// Metrics say where OpenTelemetry metrics are pushed. They are served at
	// /metrics too, if MonitorAddr is set.
	Metrics Metrics
	// Meters takes the metrics instead, if it is not nil; then none are served
	// nor pushed by the broker.
	Meters metric.MeterProvider
	// Profile is where profiles are served.
	Profile Profile
	// ServerName is the broker's name for people; the default is its id.
	ServerName string
	// Labels are what else is shown of the broker.
	Labels Labels
	// Version is our own version, for the control plane and for /varz.
	Version string
	// Advertise is the host:port that clients are told, if not the listener's.
	Advertise string
	// NoHeaders switches message headers off.
	NoHeaders bool
	// StateDir holds usage counters and the cache of signed claims: scratch whose
	// loss loses no truth. Required when enrolled.
	StateDir string
	// ControlPlane enrols the broker. Nil lets it stand alone.
	ControlPlane *ControlPlane
	// Cluster joins the broker to others. Nil lets it stand alone.
	Cluster *Cluster
	// Operator is the trust root of the accounts it carries, for a broker that
	// stands alone; nil for none.
	Operator *config.Operator
	// Access says who may connect to a broker that stands alone without an
	// operator; nil for everybody, to one account.
	Access *auth.Access
	// Limits are those of accounts that do not state their own.
	Limits accounts.Quotas
	// Drain bounds the goodbye.
	Drain Drain
	// Clients are the limits of client connections; nil for nats-server's.
	Clients *conn.Options
	Logger  *slog.Logger
}

// Labels are what people call a broker beside its name.
type Labels = monitor.Labels

// Metrics are where OpenTelemetry metrics go.
type Metrics struct {
	// Push is the URL of an OTLP receiver over gRPC; empty for none.
	Push string
	// Interval is how often; 0 for once a minute.
	Interval time.Duration
}

// ControlPlane is where a broker is enrolled.
type ControlPlane struct {
	// FleetAddr and OTLPAddr are host:port of the fleet service and of the usage
	// receiver.
	FleetAddr, OTLPAddr string
	// OperatorPublicKey is the root of trust: no account counts that this operator
	// did not sign.
	OperatorPublicKey string
	// JoinToken is needed until the broker has an identity in StateDir.
	JoinToken JoinToken
}

// Drain says how a broker leaves.
type Drain struct {
	// Grace is how long clients may leave by themselves after they were told.
	Grace time.Duration
	// Spread is the time over which those that stay are disconnected.
	Spread time.Duration
	// Flush bounds the wait for the receipt of the last usage.
	Flush time.Duration
}

// Leave returns a cause to end the context of Broker.Run with, so that the
// broker leaves in another way than its configuration says:
//
//	ctx, cancel := context.WithCancelCause(parent)
//	...
//	cancel(dataplane.Leave(dataplane.Drain{Flush: time.Second}))
func Leave(d Drain) error { return &leave{d} }

// leave is a way to leave.
type leave struct{ drain Drain }

// Error says that the broker was asked to leave.
func (*leave) Error() string { return "the broker was asked to leave" }

// DefaultDrain returns nats-server's lame duck times.
func DefaultDrain() Drain {
	return Drain{Grace: 10 * time.Second, Spread: 110 * time.Second, Flush: 10 * time.Second}
}
