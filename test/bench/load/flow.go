package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/internal/lifecycle"
)

// drainTimeout bounds the wait for deliveries after the last publish.
const drainTimeout = 30 * time.Second

var errInexact = errors.New("deliveries are not exact")

// Flow is one publisher and those who receive what it publishes.
type Flow struct {
	// Publisher sends; nobody else may use it.
	Publisher *Conn
	// Subscribers receive; each has subscribed already.
	Subscribers []*Conn
	// Fanout is how many deliveries one publish causes. Zero measures
	// publishing alone: the server's PONGs then pace the publisher.
	Fanout int
	// Window bounds the publishes in flight.
	Window int
	// Batches are written in turn.
	Batches []Batch
}

// Batch is several publishes written at once.
type Batch struct {
	Bytes []byte
	// Count is how many publishes it holds.
	Count int
	// StampAt is where the payload of the first publish begins, or negative
	// when it has no room for a stamp.
	StampAt int
}

// Result is what a load did.
type Result struct {
	Published, Delivered int64
	Elapsed              time.Duration
	Latency              *Histogram
	// Alone is Latency without what is measured, if that was measured too.
	Alone *Histogram
	// Beside is a storm of connects that went on meanwhile, if there was one.
	Beside *Storm
}

// RunFlows runs the flows side by side for the time given, waits for all
// deliveries and checks that none is missing and none is too many.
func RunFlows(ctx context.Context, flows []*Flow, d time.Duration) (Result, error) {
	base := time.Now()
	total := Result{Latency: &Histogram{Base: base}}
	runs := make([]*flowRun, len(flows))
	g := lifecycle.NewGroup(ctx)
	for i, f := range flows {
		runs[i] = newFlowRun(f, base)
		g.Side(func(ctx context.Context) error { return runs[i].run(ctx, d) })
	}
	if err := g.Wait(); err != nil {
		return total, err
	}
	for _, r := range runs {
		total.Published += r.published
		total.Delivered += r.delivered.Load()
		total.Elapsed = max(total.Elapsed, r.elapsed)
		for _, h := range r.latencies {
			total.Latency.Merge(h)
		}
	}
	return total, nil
}

// flowRun is one run of a flow.
type flowRun struct {
	*Flow
	base      time.Time
	latencies []*Histogram // one per subscriber, owned by its reader

	// owned by the publisher
	published int64
	elapsed   time.Duration

	// shared by readers and the publisher
	delivered atomic.Int64 // deliveries counted
	credit    atomic.Int64 // publishes that the server has dealt with, when Fanout is zero
	synced    atomic.Int64 // final PONGs of subscribers
	ending    atomic.Bool
	waiting   atomic.Bool
	wake      chan struct{} // one slot
}

func newFlowRun(f *Flow, base time.Time) *flowRun {
	r := &flowRun{Flow: f, base: base, wake: make(chan struct{}, 1)}
	for range f.Subscribers {
		r.latencies = append(r.latencies, &Histogram{Base: base})
	}
	return r
}

func (r *flowRun) run(ctx context.Context, d time.Duration) error {
	var wg sync.WaitGroup
	errs := make([]error, len(r.Subscribers)+1)
	for i, c := range r.Subscribers {
		wg.Go(func() { errs[i] = r.receive(c, r.latencies[i]) })
	}
	wg.Go(func() { errs[len(r.Subscribers)] = r.acknowledge() })
	err := r.publish(ctx, d)
	if err == nil {
		err = r.finish(ctx)
	}
	r.ending.Store(true)
	for _, c := range append([]*Conn{r.Publisher}, r.Subscribers...) {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // releases the reader
	}
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

// receive counts what one subscriber gets until the run ends.
func (r *flowRun) receive(c *Conn, h *Histogram) error {
	for {
		n, err := c.Read(h)
		if err != nil {
			return r.readError(err)
		}
		if n.Messages > 0 {
			r.delivered.Add(int64(n.Messages))
		}
		r.synced.Add(int64(n.Pongs))
		r.notify()
	}
}

// acknowledge reads the publisher's connection: errors, and PONGs that pace it.
func (r *flowRun) acknowledge() error {
	for {
		n, err := r.Publisher.Read(nil)
		if err != nil {
			return r.readError(err)
		}
		r.credit.Add(int64(n.Pongs * r.Batches[0].Count))
		r.notify()
	}
}

func (r *flowRun) readError(err error) error {
	if r.ending.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	r.notify()
	// Whoever waits for this connection must not wait on: end the others too.
	for _, c := range append([]*Conn{r.Publisher}, r.Subscribers...) {
		_ = c.nc.SetDeadline(time.Unix(1, 0))
	}
	return fmt.Errorf("read: %w", err)
}

func (r *flowRun) notify() {
	if !r.waiting.Load() {
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// done is how many publishes are out of flight.
func (r *flowRun) done() int64 {
	if r.Fanout == 0 {
		return r.credit.Load()
	}
	return r.delivered.Load() / int64(r.Fanout)
}

// await blocks until cond holds, which readers may make true.
func (r *flowRun) await(ctx context.Context, cond func() bool) error {
	if cond() {
		return nil
	}
	r.waiting.Store(true)
	defer r.waiting.Store(false)
	deadline := time.NewTimer(drainTimeout)
	defer deadline.Stop()
	for !cond() {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("%w: published %d, delivered %d of %d", errInexact,
				r.published, r.delivered.Load(), r.published*int64(r.Fanout))
		}
	}
	return nil
}

func (r *flowRun) publish(ctx context.Context, d time.Duration) error {
	start := time.Now()
	for i := 0; time.Since(start) < d; i++ {
		b := &r.Batches[i%len(r.Batches)]
		room := func() bool { return r.published+int64(b.Count)-r.done() <= int64(r.Window) }
		if err := r.await(ctx, room); err != nil {
			return err
		}
		if b.StampAt >= 0 {
			stamp(b.Bytes[b.StampAt:], r.base)
		}
		if err := r.Publisher.Write(b.Bytes); err != nil {
			return publishError(err)
		}
		r.published += int64(b.Count)
	}
	if err := r.await(ctx, func() bool { return r.done() >= r.published }); err != nil {
		return err
	}
	r.elapsed = time.Since(start)
	return nil
}

func publishError(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // a reader has the cause
	}
	return fmt.Errorf("publish: %w", err)
}

// finish asks every subscriber's connection for a PONG, which comes after any
// delivery that is one too many, and compares the counts.
func (r *flowRun) finish(ctx context.Context) error {
	for _, c := range r.Subscribers {
		if err := c.Write([]byte("PING\r\n")); err != nil {
			return fmt.Errorf("ping: %w", err)
		}
	}
	if err := r.await(ctx, func() bool { return r.synced.Load() >= int64(len(r.Subscribers)) }); err != nil {
		return err
	}
	if got, want := r.delivered.Load(), r.published*int64(r.Fanout); got != want {
		return fmt.Errorf("%w: delivered %d, want %d", errInexact, got, want)
	}
	return nil
}
