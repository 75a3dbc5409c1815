package main

import (
	"context"
	"time"

	"github.com/coveymq/covey/test/bench/load"
)

// Figure says which number of a workload the comparison is about.
type Figure string

// The primary figures.
const (
	// CPUPerUnit is the server's processor time for each unit: a delivery, a
	// publish, a round trip, a connect.
	CPUPerUnit Figure = "cpu"
	// BytesPerUnit is the server's resident memory for each unit.
	BytesPerUnit Figure = "bytes"
	// Harm is what others do to a unit's latency: its 99th percentile in percent of
	// what it is without them.
	Harm Figure = "harm"
)

// Workload is one row of the comparison.
type Workload struct {
	// Name selects the workload on the command line, Section several of them.
	Name    string
	Section string
	// Title says what it is, in the table.
	Title string
	// Unit is what is counted.
	Unit string
	// Figure is the primary one.
	Figure Figure
	// Target is the ratio subject/judge of the primary figure to reach; 0 for none,
	// if there is a Limit.
	Target float64
	// Limit is the most that the subject's figure may be by itself; 0 for any.
	Limit float64
	// P50 and P99 are the ratios of latencies to reach, and Rate that of units a
	// second to exceed; 0 for any.
	P50, P99, Rate float64
	// TLS runs over TLS.
	TLS bool
	// Routed has the publishers at one server and the subscribers at another, and
	// adds up what both use.
	Routed bool
	// Unmetered leaves out the subject with metering on: there is nothing to count.
	Unmetered bool
	// Setup says what the servers are given for this workload; nil for nothing.
	Setup func(s *session) (*setup, error)
	// Against, if not nil, gives the judge's place to the subject itself with
	// another setup.
	Against func(s *session) (*setup, error)
	// Run loads the server of the bed.
	Run func(ctx context.Context, b *bed) (load.Result, error)
}

// setup is what a server is given for a workload beside what all are given.
type setup struct {
	config string       // text of the configuration
	users  []*load.User // who connects; empty where nobody is asked
	change func() error // changes what the server reads anew when it reloads
}

// shape describes message flows.
type shape struct {
	flows, fanout, size, window, batch int
	queue                              bool
	subjects                           int // distinct, under a wildcard; 0 is one literal subject
	churn                              int // subscribe/unsubscribe pairs a second beside
}

// Workloads returns the rows in the order of the table.
func Workloads() []Workload {
	all := flowRows()
	for i := range all {
		all[i].Unit, all[i].Figure, all[i].Section = "delivery", CPUPerUnit, "messages"
		if all[i].TLS {
			all[i].Section = "tls"
		}
	}
	all[0].Unit = "publish"
	return append(append(all, specialRows()...), append(append(tenantRows(), neighbourRows()...), routeRows()...)...)
}

func flowRows() []Workload {
	row := func(name, title string, target float64, s shape) Workload {
		return Workload{Name: name, Title: title, Target: target, Run: s.run}
	}
	secure := func(w Workload) Workload { w.TLS = true; return w }
	return []Workload{
		row("publish", "publish only, 2 publishers, 128 B", 0.50, shape{flows: 2, size: 128, window: 8192, batch: 256}),
		row("one-16", "1:1, 16 B", 0.20, shape{flows: 1, fanout: 1, size: 16, window: 8192, batch: 256}),
		row("one-128", "1:1, 128 B", 0.40, shape{flows: 1, fanout: 1, size: 128, window: 8192, batch: 256}),
		row("pairs-4", "4 pairs, 128 B", 0.40, shape{flows: 4, fanout: 1, size: 128, window: 4096, batch: 128}),
		row("fan-10", "fan-out 1:10, 128 B", 0.35, shape{flows: 1, fanout: 10, size: 128, window: 2048, batch: 64}),
		row("fan-100", "fan-out 1:100, 128 B", 0.35, shape{flows: 1, fanout: 100, size: 128, window: 512, batch: 32}),
		row("fan-1000", "fan-out 1:1000, 128 B", 0.35, shape{flows: 1, fanout: 1000, size: 128, window: 64, batch: 16}),
		row("queue-8", "queue group of 8, 128 B", 0.40, shape{flows: 1, fanout: 8, queue: true, size: 128, window: 8192, batch: 128}),
		row("big-64k", "1:1, 64 KB", 0.60, shape{flows: 1, fanout: 1, size: 64 << 10, window: 64, batch: 2}),
		row("big-16k-20", "fan-out 1:20, 16 KB", 0.60, shape{flows: 1, fanout: 20, size: 16 << 10, window: 64, batch: 4}),
		row("subjects-100k", "100,000 subjects at random, one wildcard, 128 B", 0.40,
			shape{flows: 1, fanout: 1, size: 128, window: 8192, batch: 128, subjects: 100_000}),
		row("churn", "10,000 subjects, 1,000 (un)subscribes a second beside, 128 B", 0.40,
			shape{flows: 1, fanout: 1, size: 128, window: 8192, batch: 128, subjects: 10_000, churn: 1000}),
		secure(row("tls-1", "TLS 1:1, 128 B", 0.45, shape{flows: 1, fanout: 1, size: 128, window: 8192, batch: 256})),
		secure(row("tls-100", "TLS fan-out 1:100, 128 B", 0.45, shape{flows: 1, fanout: 100, size: 128, window: 512, batch: 32})),
	}
}

// Sizes of the large workloads, before scaling.
const (
	idlePlain     = 10_000
	idleTLS       = 5_000
	subscriptions = 1_000_000
	subscribers   = 10
	storm         = 10_000
	dialers       = 8
	requestSize   = 128
)

func specialRows() []Workload {
	return []Workload{
		{
			Name: "request-1", Section: "requests", Title: "request-reply, 1 client", Unit: "round trip", Figure: CPUPerUnit, Target: 0.50, P50: 0.6, P99: 1,
			Run: func(ctx context.Context, b *bed) (load.Result, error) { return b.requests(ctx, 1) },
		},
		{
			Name: "request-32", Section: "requests", Title: "request-reply, 32 clients", Unit: "round trip", Figure: CPUPerUnit, Target: 0.65, P50: 0.8, P99: 1,
			Run: func(ctx context.Context, b *bed) (load.Result, error) { return b.requests(ctx, 32) },
		},
		{
			Name: "idle", Section: "memory", Title: "idle connection", Unit: "connection", Figure: BytesPerUnit, Target: 0.15, Limit: 6 << 10,
			Run: func(ctx context.Context, b *bed) (load.Result, error) { return b.idle(ctx, idlePlain) },
		},
		{
			Name: "idle-tls", Section: "memory", Title: "idle TLS connection", Unit: "connection", Figure: BytesPerUnit, Target: 0.35, Limit: 18 << 10, TLS: true,
			Run: func(ctx context.Context, b *bed) (load.Result, error) { return b.idle(ctx, idleTLS) },
		},
		{
			Name: "subscriptions", Section: "memory", Title: "distinct subscriptions", Unit: "subscription", Figure: BytesPerUnit, Target: 0.30, Limit: 250, Rate: 1.5,
			Run: func(ctx context.Context, b *bed) (load.Result, error) { return b.subscribe(ctx, subscriptions) },
		},
		{
			Name: "connects", Section: "connects", Title: "connects", Unit: "connect", Figure: CPUPerUnit, Target: 0.60, Unmetered: true,
			Run: func(ctx context.Context, b *bed) (load.Result, error) {
				return load.RunStorm(ctx, b.dialer, b.scaled(storm), dialers, b.duration+time.Minute)
			},
		},
	}
}
