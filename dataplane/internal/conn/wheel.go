package conn

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// wheel holds the connections' next checks: one ticker and one mutex for all,
// nothing per connection but two pointers. Each connection is in at most one
// bucket. Its clock also serves where a coarse time will do.
type wheel struct {
	now   atomic.Int64 // ticks since the start
	epoch atomic.Int64 // Unix nanosecond of the start; 0 before it

	mu      sync.Mutex
	buckets [wheelBuckets]*Client // guarded by mu
}

const (
	wheelTick    = 100 * time.Millisecond
	wheelBuckets = 1024
)

// ticks converts a duration, rounded up, to what the wheel can hold.
func ticks(d time.Duration) int64 {
	n := int64((d + wheelTick - 1) / wheelTick)
	return min(max(n, 1), wheelBuckets-1)
}

// timer is a connection's place in the wheel. Guarded by wheel.mu.
type timer struct {
	prev, next *Client
	bucket     int // -1 when not in the wheel
}

// schedule puts c in for a check after d.
func (w *wheel) schedule(c *Client, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(c)
	if c.timer.bucket = -1; c.gone {
		return
	}
	b := int((w.now.Load() + ticks(d)) % wheelBuckets)
	c.timer = timer{next: w.buckets[b], bucket: b}
	if c.timer.next != nil {
		c.timer.next.timer.prev = c
	}
	w.buckets[b] = c
}

// forget takes c out for good.
func (w *wheel) forget(c *Client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(c)
	c.timer.bucket = -1
	c.gone = true
}

func (w *wheel) unlink(c *Client) {
	if c.timer.bucket < 0 {
		return
	}
	if c.timer.prev != nil {
		c.timer.prev.timer.next = c.timer.next
	} else {
		w.buckets[c.timer.bucket] = c.timer.next
	}
	if c.timer.next != nil {
		c.timer.next.timer.prev = c.timer.prev
	}
	c.timer = timer{bucket: -1}
}

// due empties the bucket of a tick.
func (w *wheel) due(tick int64, into []*Client) []*Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := w.buckets[tick%wheelBuckets]; c != nil; {
		next := c.timer.next
		c.timer = timer{bucket: -1}
		into = append(into, c)
		c = next
	}
	w.buckets[tick%wheelBuckets] = nil
	return into
}

func (w *wheel) run(ctx context.Context) error {
	t := time.NewTicker(wheelTick)
	defer t.Stop()
	start := time.Now()
	w.epoch.Store(start.UnixNano())
	var due []*Client
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		for until := int64(time.Since(start) / wheelTick); w.now.Load() < until; {
			due = w.due(w.now.Add(1), due[:0])
			for _, c := range due {
				if again := c.check(); again > 0 {
					w.schedule(c, again)
				}
			}
			clear(due)
		}
	}
}
