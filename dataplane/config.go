package dataplane

import (
	"log/slog"
	"time"

	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/fleet"
)

// Level is the version of nats-server whose behaviour the broker implements.
// Clients are told it, so that they switch their features on.
const Level = "2.15.2"

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
	// ServerName is the broker's name for people; the default is its id.
	ServerName string
	// Version is our own version, for the control plane and for /varz.
	Version string
	// StateDir holds usage counters and the cache of signed claims: scratch whose
	// loss loses no truth. Required when enrolled.
	StateDir string
	// ControlPlane enrols the broker. Nil lets it stand alone: one account,
	// everybody admitted.
	ControlPlane *ControlPlane
	// Cluster joins the broker to others. Nil lets it stand alone.
	Cluster *Cluster
	// Drain bounds the goodbye.
	Drain Drain
	// Clients are the limits of client connections; nil for nats-server's.
	Clients *conn.Options
	Logger  *slog.Logger
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

// DefaultDrain returns nats-server's lame duck times.
func DefaultDrain() Drain {
	return Drain{Grace: 10 * time.Second, Spread: 110 * time.Second, Flush: 10 * time.Second}
}
