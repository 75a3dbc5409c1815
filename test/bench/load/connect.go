package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// OpenMany opens n connections with the given number of dialers at work. On
// error the caller gets those that were opened, to close.
func OpenMany(ctx context.Context, d Dialer, n, dialers int) ([]*Conn, error) {
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		mu   sync.Mutex
		all  []*Conn
		errs []error
	)
	for range dialers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				c, err := d.turn(i).Dial(ctx)
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
					mu.Unlock()
					return
				}
				all = append(all, c)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// RunStorm connects and aborts, over and over, until n connections were made
// or the time is up. Delivered counts the connections.
func RunStorm(ctx context.Context, d Dialer, n, dialers int, limit time.Duration) (Result, error) {
	base := time.Now()
	total := Result{Latency: &Histogram{Base: base}}
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	hists := make([]*Histogram, dialers)
	errs := make([]error, dialers)
	for i := range dialers {
		hists[i] = &Histogram{Base: base}
		wg.Go(func() {
			for errs[i] == nil && time.Since(base) < limit && next.Add(1) <= int64(n) {
				errs[i] = connectOnce(ctx, d, hists[i])
			}
		})
	}
	wg.Wait()
	total.Elapsed = time.Since(base)
	for _, h := range hists {
		total.Latency.Merge(h)
	}
	total.Delivered = int64(total.Latency.Count())
	return total, errors.Join(errs...)
}

func connectOnce(ctx context.Context, d Dialer, h *Histogram) error {
	start := time.Now()
	c, err := d.Dial(ctx)
	if err != nil {
		return err
	}
	if h != nil {
		h.Record(time.Since(start))
	}
	return c.Abort()
}

// subscribeBatch is how many SUB lines go into one write.
const subscribeBatch = 1000

// RunSubscribe makes n subscriptions to distinct subjects, spread over the
// connections, and returns when the server has taken them all.
func RunSubscribe(ctx context.Context, conns []*Conn, n int) (Result, error) {
	start := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, len(conns))
	for i, c := range conns {
		wg.Go(func() { errs[i] = subscribeMany(ctx, c, i, n/len(conns)) })
	}
	wg.Wait()
	return Result{Delivered: int64(n), Elapsed: time.Since(start)}, errors.Join(errs...)
}

func subscribeMany(ctx context.Context, c *Conn, index, n int) error {
	var out []byte
	for i := range n {
		out = fmt.Appendf(out, "SUB region.%d.device.%d.state %d\r\n", index, i, i+1)
		if (i+1)%subscribeBatch != 0 && i+1 < n {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := c.Write(out); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		out = out[:0]
	}
	return c.Sync()
}

// Churn subscribes and unsubscribes on a connection of its own at the given
// rate a second until ctx ends. It returns how many pairs it made.
func Churn(ctx context.Context, c *Conn, perSecond int) (int, error) {
	const steps = 50 // a second; each does its share of the rate
	tick := time.NewTicker(time.Second / steps)
	defer tick.Stop()
	made := 0
	for {
		select {
		case <-ctx.Done():
			return made, c.Sync()
		case <-tick.C:
		}
		var out []byte
		for range perSecond / steps {
			made++
			out = fmt.Appendf(out, "SUB churn.%d %d\r\nUNSUB %d\r\n", made, made, made)
		}
		if err := c.Write(out); err != nil {
			return made, fmt.Errorf("churn: %w", err)
		}
	}
}
