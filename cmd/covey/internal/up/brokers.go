package up

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// brokersMax is how many brokers make sense in one process.
const brokersMax = 9

// running is a broker and its part.
type running struct {
	Broker

	name string
	part *part
}

// brokers are those of one run. The first has the ports that were asked for.
type brokers []running

// startBrokers starts as many brokers as were asked for; the others join the
// first. What runs is returned even with an error.
func (u *assembly) startBrokers(ctx context.Context, dir *dataDir, cp ControlPlane, conf BrokerConfig) (all brokers, err error) {
	password := NewToken(rand.Text())
	for i := range u.opts.Brokers {
		token, err := cp.JoinToken(ctx, joinTokenLife)
		if err != nil {
			return all, startFault("let the broker join", err)
		}
		c := conf
		c.Name, c.StateDir, c.JoinToken = numbered(brokerName, i), numbered(dir.broker(), i), NewToken(token)
		c.ClientAddr, c.MonitorAddr = addr(0), addr(0)
		if i == 0 {
			c.ClientAddr, c.MonitorAddr = addr(u.opts.NATSPort), addr(u.opts.MonitorPort)
		}
		if u.opts.Brokers > 1 {
			c.Cluster = &Cluster{Password: password}
			for _, b := range all {
				c.Cluster.Seeds = append(c.Cluster.Seeds, b.RouteURL())
			}
		}
		b, err := u.parts.Broker(ctx, c)
		if err != nil {
			return all, startFault("start the broker", err)
		}
		part := "broker"
		if i > 0 {
			part = fmt.Sprintf("broker %d", i+1)
		}
		all = append(all, running{Broker: b, name: c.Name, part: launch(ctx, part, b.Run)})
	}
	return all, nil
}

// numbered is a name for the one with an index: the first has just the name.
func numbered(name string, i int) string {
	if i == 0 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, i+1)
}

func (all brokers) parts() []*part {
	out := make([]*part, len(all))
	for i, b := range all {
		out[i] = b.part
	}
	return out
}

// meshed returns an error until every broker is connected with all others.
func (all brokers) meshed() error {
	for _, b := range all {
		if n := b.Peers(); n < len(all)-1 {
			return fmt.Errorf("broker %s is connected with %d of %d others", b.name, n, len(all)-1)
		}
	}
	return nil
}

// stop lets all drain at once and returns the first failure.
func (all brokers) stop(deadline time.Time) (err error) {
	for _, b := range all {
		b.part.cancel()
	}
	for _, b := range all {
		err = firstOf(err, b.part.stop(deadline))
	}
	return err
}

// place is where one broker is.
type place struct {
	Name       string `json:"name"`
	NATSURL    string `json:"nats_url"`
	MonitorURL string `json:"monitor_url"`
}

// places are shown when there are several.
func (all brokers) places() []place {
	if len(all) < 2 {
		return nil
	}
	out := make([]place, len(all))
	for i, b := range all {
		out[i] = place{Name: b.name, NATSURL: b.ClientURL(), MonitorURL: b.MonitorURL()}
	}
	return out
}

// pairs are the lines about the brokers.
func (all brokers) pairs() []term.Pair {
	out := []term.Pair{{Name: "NATS", Value: all[0].ClientURL()}}
	for _, b := range all[1:] {
		out = append(out, term.Pair{Name: "NATS, " + b.name, Value: b.ClientURL()})
	}
	return out
}
