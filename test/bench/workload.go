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
)

// Workload is one row of the comparison.
type Workload struct {
	// Name selects the workload on the command line.
	Name string
	// Title says what it is, in the table.
	Title string
	// Unit is what is counted.
	Unit string
	// Figure is the primary one.
	Figure Figure
	// Target is the ratio subject/judge of the primary figure to reach.
	Target float64
	// TLS runs over TLS.
	TLS bool
	// Run loads the server of the bed.
	Run func(ctx context.Context, b *bed) (load.Result, error)
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
		all[i].Unit, all[i].Figure = "delivery", CPUPerUnit
	}
	all[0].Unit = "publish"
	return append(all, specialRows()...)
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
			Name: "request-1", Title: "request-reply, 1 client", Unit: "round trip", Figure: CPUPerUnit, Target: 0.50,
			Run: func(ctx context.Context, b *bed) (load.Result, error) { return b.requests(ctx, 1) },
		},
		{
			Name: "request-32", Title: "request-reply, 32 clients", Unit: "round trip", Figure: CPUPerUnit, Target: 0.65,
			Run: func(ctx context.Context, b *bed) (load.Result, error) { return b.requests(ctx, 32) },
		},
		{
			Name: "idle", Title: "idle connection", Unit: "connection", Figure: BytesPerUnit, Target: 0.15,
			Run: func(ctx context.Context, b *bed) (load.Result, error) { return b.idle(ctx, idlePlain) },
		},
		{
			Name: "idle-tls", Title: "idle TLS connection", Unit: "connection", Figure: BytesPerUnit, Target: 0.35, TLS: true,
			Run: func(ctx context.Context, b *bed) (load.Result, error) { return b.idle(ctx, idleTLS) },
		},
		{
			Name: "subscriptions", Title: "distinct subscriptions", Unit: "subscription", Figure: BytesPerUnit, Target: 0.30,
			Run: func(ctx context.Context, b *bed) (load.Result, error) { return b.subscribe(ctx, subscriptions) },
		},
		{
			Name: "connects", Title: "connects", Unit: "connect", Figure: CPUPerUnit, Target: 0.60,
			Run: func(ctx context.Context, b *bed) (load.Result, error) {
				return load.RunStorm(ctx, b.dialer, b.scaled(storm), dialers, b.duration+time.Minute)
			},
		},
	}
}
