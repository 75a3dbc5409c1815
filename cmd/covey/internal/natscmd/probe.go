package natscmd

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
)

// Probe connects to a context's brokers with its credentials, and returns which
// one answered and how long an answer takes.
func Probe(ctx context.Context, c *contexts.Context) (server string, rtt time.Duration, err error) {
	k := kit{context: func() (*contexts.Context, error) { return c, nil }}
	limit := connectTimeoutDefault
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	nc, err := k.connect(&dialer{connectTimeout: limit}, "covey doctor", nats.NoReconnect())
	if err != nil {
		return "", 0, err
	}
	defer nc.Close()
	rtt, err = nc.RTT()
	if err != nil {
		return "", 0, fmt.Errorf("measure round trip: %w", err)
	}
	return nc.ConnectedServerName() + " at " + nc.ConnectedUrlRedacted(), rtt, nil
}
