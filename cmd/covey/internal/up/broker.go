package up

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/coveymq/covey/dataplane"
)

// laptopDrain is how the broker leaves here: clients are told, and have a
// moment; all of it fits into brokerDrain, usage included.
func laptopDrain() dataplane.Drain {
	return dataplane.Drain{Grace: 250 * time.Millisecond, Spread: 250 * time.Millisecond, Flush: 2 * time.Second}
}

// brokerName is this broker's name for people.
const brokerName = "local"

// NewBroker makes the Broker of Parts: a real one, enrolled in the control
// plane of this process. Version is what it reports.
func NewBroker(version string) func(context.Context, BrokerConfig) (Broker, error) {
	return func(ctx context.Context, c BrokerConfig) (Broker, error) {
		host, portText, err := net.SplitHostPort(c.ClientAddr)
		if err != nil {
			return nil, fmt.Errorf("client address: %w", err)
		}
		port, err := strconv.Atoi(portText)
		if err != nil {
			return nil, fmt.Errorf("client port: %w", err)
		}
		return dataplane.New(ctx, dataplane.Config{
			Host: host, Port: port, MonitorAddr: c.MonitorAddr, ServerName: brokerName, Version: version,
			StateDir: c.StateDir, Drain: laptopDrain(), Logger: c.Logger,
			ControlPlane: &dataplane.ControlPlane{
				FleetAddr: c.ControlPlaneAddr, OTLPAddr: c.OTLPAddr, OperatorPublicKey: c.OperatorPublicKey,
				JoinToken: dataplane.JoinToken(c.JoinToken.Reveal()),
			},
		})
	}
}
