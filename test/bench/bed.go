package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/coveymq/covey/internal/lifecycle"
	"github.com/coveymq/covey/test/bench/load"
	"github.com/coveymq/covey/test/conformance/proc"
)

// bed is one server under one sample of load. What is prepared before ready
// is called does not count.
type bed struct {
	server   *proc.Server
	far      *proc.Server // where subscribers are, across a route; nil for the same one
	dialer   load.Dialer
	duration time.Duration
	scale    float64
	setup    *setup
	conns    []*load.Conn

	// set by ready
	cpuBefore, loaderBefore time.Duration
	memBefore               int64
}

const (
	// settleTime lets a server finish what connecting started before it counts.
	settleTime = 200 * time.Millisecond
	// idleTime lets a server give back what it only needed to connect.
	idleTime = 2 * time.Second

	readBuffer     = 64 << 10
	readBufferMany = 16 << 10
	manySubs       = 100
)

func (b *bed) scaled(n int) int { return scaled(n, b.scale) }

func scaled(n int, by float64) int { return max(1, int(float64(n)*by)) }

// dial opens a connection that close will end.
func (b *bed) dial(ctx context.Context) (*load.Conn, error) {
	return b.dialTo(ctx, b.dialer)
}

func (b *bed) dialTo(ctx context.Context, d load.Dialer) (*load.Conn, error) {
	c, err := d.Dial(ctx)
	if err == nil {
		b.conns = append(b.conns, c)
	}
	return c, err
}

// subscriber opens a connection with one subscription.
func (b *bed) subscriber(ctx context.Context, subject, queue string) (*load.Conn, error) {
	return b.subscriberAt(ctx, b.subscribers(), subject, queue)
}

func (b *bed) subscriberAt(ctx context.Context, d load.Dialer, subject, queue string) (*load.Conn, error) {
	c, err := b.dialTo(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := c.Write(fmt.Appendf(nil, "SUB %s %s 1\r\n", subject, queue)); err != nil {
		return nil, err
	}
	return c, c.Sync()
}

// ready notes what the server has used so far.
func (b *bed) ready(ctx context.Context) error {
	if err := rest(ctx, settleTime); err != nil {
		return err
	}
	mem, err := b.memory()
	if err != nil {
		return err
	}
	b.memBefore = mem.RSS
	if err := b.server.ResetPeak(); err != nil { // the peak is the load's
		return err
	}
	if b.loaderBefore, err = loaderCPU(); err != nil {
		return err
	}
	b.cpuBefore, err = b.cpu()
	return err
}

func (b *bed) close() {
	for _, c := range b.conns {
		_ = c.Abort()
	}
}

// warm lets a server do once what it will do for many, so that what it needs
// for that only once counts for none of them, and notes what it has used so far.
func (b *bed) warm(ctx context.Context) error {
	if _, err := b.dial(ctx); err != nil {
		return err
	}
	return b.ready(ctx)
}

// run prepares the flows of a shape and runs them.
func (s shape) run(ctx context.Context, b *bed) (load.Result, error) {
	b.dialer.Buffer = readBuffer
	if s.fanout >= manySubs {
		b.dialer.Buffer = readBufferMany
	}
	flows := make([]*load.Flow, s.flows)
	for i := range flows {
		f, err := s.flow(ctx, b, i)
		if err != nil {
			return load.Result{}, err
		}
		flows[i] = f
	}
	if s.churn > 0 {
		return s.runBesideChurn(ctx, b, flows)
	}
	if err := b.ready(ctx); err != nil {
		return load.Result{}, err
	}
	return load.RunFlows(ctx, flows, b.duration)
}

func (s shape) runBesideChurn(ctx context.Context, b *bed, flows []*load.Flow) (load.Result, error) {
	c, err := b.dial(ctx)
	if err != nil {
		return load.Result{}, err
	}
	if err := b.ready(ctx); err != nil {
		return load.Result{}, err
	}
	var result load.Result
	g := lifecycle.NewGroup(ctx)
	churning, stop := context.WithCancel(ctx)
	defer stop()
	g.Side(func(context.Context) error { _, err := load.Churn(churning, c, s.churn); return err })
	g.Side(func(ctx context.Context) error {
		defer stop()
		var err error
		result, err = load.RunFlows(ctx, flows, b.duration)
		return err
	})
	return result, g.Wait()
}

// flow opens the connections of the i-th flow and prepares what it sends.
func (s shape) flow(ctx context.Context, b *bed, i int) (*load.Flow, error) {
	subject := fmt.Sprintf("bench.%d", i)
	interest, queue := subject, ""
	if s.subjects > 0 {
		interest = subject + ".>"
	}
	f := &load.Flow{Fanout: s.fanout, Window: s.window, Batches: s.batches(subject)}
	if s.queue {
		f.Fanout, queue = 1, "workers"
	}
	for range s.fanout {
		c, err := b.subscriber(ctx, interest, queue)
		if err != nil {
			return nil, err
		}
		f.Subscribers = append(f.Subscribers, c)
	}
	var err error
	f.Publisher, err = b.dial(ctx)
	return f, err
}

// batches prepares the bytes the publisher writes. With many subjects they
// are drawn at random, from a fixed seed, so that both servers see the same.
func (s shape) batches(subject string) []load.Batch {
	payload := bytes.Repeat([]byte("x"), s.size)
	next := func() string { return subject }
	count := 1
	if s.subjects > 0 {
		r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same load for both servers
		next = func() string { return fmt.Sprintf("%s.sensor.%d", subject, r.IntN(s.subjects)) }
		count = max(1, 2*s.subjects/s.batch)
	}
	all := make([]load.Batch, count)
	for i := range all {
		all[i] = load.Batch{Count: s.batch, StampAt: -1}
		for j := range s.batch {
			all[i].Bytes = fmt.Appendf(all[i].Bytes, "PUB %s %d\r\n", next(), s.size)
			if j == 0 {
				all[i].StampAt = len(all[i].Bytes)
			}
			all[i].Bytes = append(append(all[i].Bytes, payload...), '\r', '\n')
		}
		if s.fanout == 0 {
			all[i].Bytes = append(all[i].Bytes, "PING\r\n"...)
		}
	}
	return all
}

func (b *bed) requests(ctx context.Context, clients int) (load.Result, error) {
	responder, err := b.subscriber(ctx, load.RequestSubject, "")
	if err != nil {
		return load.Result{}, err
	}
	conns := make([]*load.Conn, clients)
	for i := range conns {
		if conns[i], err = b.subscriber(ctx, load.InboxOf(i), ""); err != nil {
			return load.Result{}, err
		}
	}
	if err := b.ready(ctx); err != nil {
		return load.Result{}, err
	}
	return load.RunRequests(ctx, conns, responder, requestSize, b.duration)
}

// idle opens connections and lets them be.
func (b *bed) idle(ctx context.Context, n int) (load.Result, error) {
	if err := b.warm(ctx); err != nil {
		return load.Result{}, err
	}
	n = b.scaled(n)
	start := time.Now()
	conns, err := load.OpenMany(ctx, b.dialer, n, dialers)
	b.conns = append(b.conns, conns...)
	if err != nil {
		return load.Result{}, err
	}
	result := load.Result{Delivered: int64(n), Elapsed: time.Since(start)}
	return result, rest(ctx, idleTime)
}

func (b *bed) subscribe(ctx context.Context, n int) (load.Result, error) {
	conns, err := load.OpenMany(ctx, b.dialer, subscribers, 1)
	b.conns = append(b.conns, conns...)
	if err != nil {
		return load.Result{}, err
	}
	if err := b.ready(ctx); err != nil {
		return load.Result{}, err
	}
	n = b.scaled(n) / subscribers * subscribers
	if n == 0 {
		return load.Result{}, errors.New("scale too small")
	}
	result, err := load.RunSubscribe(ctx, conns, n)
	if err != nil {
		return result, err
	}
	return result, rest(ctx, idleTime)
}

func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
