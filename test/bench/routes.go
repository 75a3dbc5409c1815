package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/test/bench/load"
	"github.com/coveymq/covey/test/conformance/proc"
)

const routedSubscriptions = 100_000

// routeRows are about two servers of one cluster.
func routeRows() []Workload {
	row := func(name, title string, target float64, s shape) Workload {
		return Workload{
			Name: name, Section: "routes", Title: title, Unit: "delivery", Figure: CPUPerUnit, Target: target, Routed: true, Unmetered: true, Run: s.runAcross,
		}
	}
	return []Workload{
		row("route-1", "1:1 across a route, 128 B", 0.50, shape{flows: 1, fanout: 1, size: 128, window: 8192, batch: 256}),
		row("route-100", "fan-out 1:100 across a route, 128 B", 0.40, shape{flows: 1, fanout: 100, size: 128, window: 512, batch: 32}),
		{
			Name: "route-subs", Section: "routes", Title: "subscriptions told across a route", Unit: "subscription", Figure: BytesPerUnit,
			Target: 0.40, Rate: 2, Routed: true, Unmetered: true, Run: tellAcross,
		},
		neighbourRow("route-flood", "request-reply p99 across a route beside a tenant that floods it with a fan-out of 20, against alone", 200, ""),
		neighbourRow("route-flood-limited", "the same with 2,000 messages a second allowed to that tenant, against ourselves without", 130, floodLimit),
	}
}

// neighbourRow is about two tenants on the one connection that there is between
// two brokers: one sends requests across it while the other one floods it.
func neighbourRow(name, title string, limit float64, of string) Workload {
	w := Workload{
		Name: name, Section: "routes", Title: title, Unit: "round trip", Figure: Harm, Target: 1, Limit: limit,
		Routed: true, Unmetered: true, Setup: twoTenants(of), Run: neighbours,
	}
	if of != "" {
		w.Against = twoTenants("")
	}
	return w
}

// startFar starts the other server of a cluster and makes o join it, if the
// workload is about two.
func startFar(ctx context.Context, w Workload, o *proc.Options) (*proc.Server, error) {
	if !w.Routed {
		return nil, nil //nolint:nilnil // one server is no error
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	seed := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	far := *o
	far.Config += fmt.Sprintf("\ncluster { name: bench, pool_size: 1, listen: %q }\n", seed)
	o.Config += fmt.Sprintf("\ncluster { name: bench, pool_size: 1, listen: \"127.0.0.1:-1\", routes: [\"nats-route://%s\"] }\n", seed)
	return proc.Start(ctx, far)
}

// subscribers is where subscribers connect.
func (b *bed) subscribers() load.Dialer {
	d := b.dialer
	if b.far != nil {
		d.Addr = b.far.Addr
	}
	return d
}

// cpu is what the servers have used so far.
func (b *bed) cpu() (time.Duration, error) {
	near, err := b.server.CPU()
	if err != nil || b.far == nil {
		return near, err
	}
	far, err := b.far.CPU()
	return near + far, err
}

// memory is what the servers have now.
func (b *bed) memory() (proc.Memory, error) {
	near, err := b.server.Memory()
	if err != nil || b.far == nil {
		return near, err
	}
	far, err := b.far.Memory()
	near.RSS, near.Peak = near.RSS+far.RSS, near.Peak+far.Peak
	return near, err
}

// crossTimeout bounds the wait for interest from the other server.
const crossTimeout = 30 * time.Second

var errNotCrossed = errors.New("nothing comes across the route")

// crossed waits until a message from the one server reaches a new subscriber at
// the other. Interest is told in order, so all that was there before is known, too.
func (b *bed) crossed(subject string, as ...nats.Option) error {
	return cross(b.server, b.far, subject, as...)
}

// crossedBoth does so in both directions, for a tenant.
func (b *bed) crossedBoth(subject, user string) error {
	as := nats.UserInfo(user, user)
	return errors.Join(b.crossed(subject, as), cross(b.far, b.server, subject, as))
}

func cross(from, to *proc.Server, subject string, as ...nats.Option) error {
	near, err := nats.Connect("nats://"+from.Addr, as...)
	if err != nil {
		return err
	}
	defer near.Close()
	far, err := nats.Connect("nats://"+to.Addr, as...)
	if err != nil {
		return err
	}
	defer far.Close()
	sub, err := far.SubscribeSync(subject)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(crossTimeout); time.Now().Before(deadline); {
		if err := near.Publish(subject, nil); err != nil {
			return err
		}
		if _, err := sub.NextMsg(time.Millisecond); err == nil {
			return nil
		}
	}
	return errNotCrossed
}

// runAcross is run across a route.
func (s shape) runAcross(ctx context.Context, b *bed) (load.Result, error) {
	if err := b.crossed("bench.ready"); err != nil {
		return load.Result{}, err
	}
	return s.run(ctx, b)
}

// tellAcross subscribes at one server and waits until the other one knows.
func tellAcross(ctx context.Context, b *bed) (load.Result, error) {
	if err := b.crossed("bench.ready"); err != nil {
		return load.Result{}, err
	}
	conns, err := load.OpenMany(ctx, b.subscribers(), subscribers, 1)
	b.conns = append(b.conns, conns...)
	if err != nil {
		return load.Result{}, err
	}
	if err := b.ready(ctx); err != nil {
		return load.Result{}, err
	}
	start := time.Now()
	result, err := load.RunSubscribe(ctx, conns, b.scaled(routedSubscriptions)/subscribers*subscribers)
	if err == nil {
		err = b.crossed("bench.told")
	}
	if err != nil {
		return result, err
	}
	result.Elapsed = time.Since(start)
	return result, rest(ctx, idleTime)
}
