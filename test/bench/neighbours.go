package main

import (
	"context"
	"errors"
	"time"

	"github.com/coveymq/covey/test/bench/load"
)

// The two tenants of the tenant workloads.
const (
	quietUser = "quiet"
	noisyUser = "noisy"
)

// tenants is the configuration of two accounts. Limits are of the noisy one, in a
// block that only the subject knows.
func tenants(limits string) string {
	if limits != "" {
		limits = "covey { " + limits + " }, "
	}
	return `accounts {
  Q { users: [ { user: quiet, password: quiet } ] }
  N { ` + limits + `users: [ { user: noisy, password: noisy } ] }
}
`
}

var errNoFlood = errors.New("the noisy tenant made no noise")

// floodLimit is for the flood that is limited: well below what it can do.
const floodLimit = `msgs_in: "2000/200/slow"`

func neighbourRows() []Workload {
	row := func(name, title string, limit float64, of string) Workload {
		return Workload{
			Name: name, Section: "tenants", Title: title, Unit: "round trip", Figure: Harm, Target: 1, Limit: limit,
			Unmetered: true, Setup: twoTenants(of), Run: neighbours,
		}
	}
	limited := row("flood-limited", "the same with 2,000 messages a second allowed to that tenant, against ourselves without", 130, floodLimit)
	limited.Against = twoTenants("")
	return []Workload{
		row("flood", "request-reply p99 beside a tenant that floods a fan-out of 20, against alone", 200, ""),
		limited,
	}
}

// twoTenants configures the quiet tenant and the noisy one.
func twoTenants(limits string) func(*session) (*setup, error) {
	return func(*session) (*setup, error) { return &setup{config: tenants(limits)}, nil }
}

// neighbours measures a quiet tenant alone, and then beside a noisy one.
func neighbours(ctx context.Context, b *bed) (load.Result, error) {
	b.dialer.Buffer = readBuffer
	b.dialer.Name = quietUser
	alone, err := b.quiet(ctx, 0, b.ready)
	if err != nil {
		return alone, err
	}
	noise, err := startFlood(ctx, b, noisyUser)
	if err != nil {
		return alone, err
	}
	beside, err := b.quiet(ctx, 0, func(ctx context.Context) error { return rest(ctx, settleTime) })
	var done floodResult
	if err := errors.Join(err, noise.end(&done)); err != nil {
		return beside, err
	}
	if done.Delivered == 0 {
		return beside, errNoFlood
	}
	beside.Alone = alone.Latency
	return beside, nil
}

// quiet lets whom the bed dials for send requests, one after the other, with a
// pause of that length between them.
func (b *bed) quiet(ctx context.Context, every time.Duration, ready func(context.Context) error) (load.Result, error) {
	responder, err := b.subscriber(ctx, load.RequestSubject, "")
	if err != nil {
		return load.Result{}, err
	}
	client, err := b.subscriberAt(ctx, b.dialer, load.InboxOf(0), "")
	if err != nil {
		return load.Result{}, err
	}
	if b.far != nil {
		if err := b.crossedBoth("bench.quiet", quietUser); err != nil {
			return load.Result{}, err
		}
	}
	if err := ready(ctx); err != nil {
		return load.Result{}, err
	}
	result, err := load.RunPacedRequests(ctx, []*load.Conn{client}, responder, requestSize, every, b.duration)
	return result, errors.Join(err, responder.Close(), client.Close())
}
