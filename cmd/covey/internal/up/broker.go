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

// The names of brokers for people, and of their cluster. The first broker has
// just the name; others have a number.
const brokerName = "local"

// routeUser is who brokers of one process are to each other.
const routeUser = "broker"

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
		cluster, err := c.Cluster.routes()
		if err != nil {
			return nil, err
		}
		return dataplane.New(ctx, dataplane.Config{
			Host: host, Port: port, MonitorAddr: c.MonitorAddr, ServerName: c.Name, Version: version,
			Cluster: cluster, StateDir: c.StateDir, Drain: laptopDrain(), Logger: c.Logger,
			ControlPlane: &dataplane.ControlPlane{
				FleetAddr: c.ControlPlaneAddr, OTLPAddr: c.OTLPAddr, OperatorPublicKey: c.OperatorPublicKey,
				JoinToken: dataplane.JoinToken(c.JoinToken.Reveal()),
			},
		})
	}
}

// routes is what a broker needs to join the others. They listen on loopback, as
// all does, and a password keeps other users of this machine out.
func (c *Cluster) routes() (*dataplane.Cluster, error) {
	if c == nil {
		return nil, nil //nolint:nilnil // no cluster is no error
	}
	secret := dataplane.RoutePassword(c.Password.Reveal())
	out := &dataplane.Cluster{Name: brokerName, Listen: addr(0), User: routeUser, Password: secret}
	for _, seed := range c.Seeds {
		u, err := dataplane.ParseRouteURL(seed)
		if err != nil {
			return nil, err
		}
		u.User, u.Password = routeUser, secret
		out.Routes = append(out.Routes, u)
	}
	return out, nil
}
