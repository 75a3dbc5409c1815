package natscmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/internal/lifecycle"
)

// requests is one run of requesters and responders.
type requests struct {
	bench   *bench
	subject string

	mu        sync.Mutex
	latencies []time.Duration // guarded by mu
}

// measureRequests sends requests one after the other on each publishing
// connection. Without receivers somebody else has to answer.
func (b *bench) measureRequests(ctx context.Context, subject string) (*result, error) {
	r := &requests{bench: b, subject: subject}
	conns := make([]*nats.Conn, 0, b.publishers+b.receivers)
	defer func() {
		for _, nc := range conns {
			nc.Close()
		}
	}()
	for i := range b.publishers + b.receivers {
		nc, err := b.connect(&b.dial, "covey bench", nats.NoReconnect())
		if err != nil {
			return nil, err
		}
		conns = append(conns, nc)
		if i >= b.receivers {
			continue
		}
		queue := b.queue
		if queue == "" {
			queue = "covey-bench" // one answer a request
		}
		if _, err := nc.QueueSubscribe(subject, queue, func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		if err := settled(nc, b.dial.connectTimeout); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	g := lifecycle.NewGroup(ctx)
	for i, nc := range conns[b.receivers:] {
		g.Side(func(ctx context.Context) error { return r.send(ctx, nc, share(b.messages, b.publishers, i)) })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return r.result(time.Since(start)), nil
}

func (r *requests) send(ctx context.Context, nc *nats.Conn, n int64) error {
	body := make([]byte, r.bench.size)
	var mine []time.Duration
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.latencies = append(r.latencies, mine...)
	}()
	for range n {
		start := time.Now()
		if _, err := nc.RequestWithContext(ctx, r.subject, body); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		mine = append(mine, time.Since(start))
	}
	return nil
}

func (r *requests) result(took time.Duration) *result {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.latencies)
	res := &result{
		Subject: r.subject, Size: r.bench.size, Published: r.bench.messages, Expected: r.bench.messages, Received: int64(n),
		Seconds: took.Seconds(), PublishRate: rate(int64(n), took), ReceiveRate: rate(int64(n), took),
	}
	if n == 0 {
		return res
	}
	slices.Sort(r.latencies)
	var sum time.Duration
	for _, l := range r.latencies {
		sum += l
	}
	res.LatencyMean = sum.Seconds() / float64(n)
	res.LatencyMedian = r.latencies[n/2].Seconds()
	res.LatencyP99 = r.latencies[min(n-1, n*99/100)].Seconds()
	return res
}
