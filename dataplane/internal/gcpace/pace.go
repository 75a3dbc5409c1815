package gcpace

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// often is how fast collections follow each other when they cost too much.
	often = 250 * time.Millisecond
	// frequent is how much the heap may grow then, in percent, and growthMax in
	// bytes. More does not pay: memory that nobody has touched yet costs, too.
	frequent  = 200
	growthMax = 64 << 20
	// look is how often it is seen whether it is calm again, and calm what may be
	// allocated from one look to the next when it is.
	look = 250 * time.Millisecond
	calm = 1 << 20
)

// Start lets the heap grow by base percent between two collections, and by more
// while there are too many of them, until stop is called, which puts back what
// was before and returns when nothing is left running.
func Start(ctx context.Context, base int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	p := &pace{base: base, percent: base, set: debug.SetGCPercent, heap: heap}
	before := p.set(base)
	w := watch()
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx, w.told) })
	return func() {
		w.gone.Store(true)
		cancel()
		running.Wait()
		p.set(before)
	}
}

// pace is what is known of the collections so far. One goroutine owns it.
type pace struct {
	base int
	set  func(percent int) (before int)
	heap func() (live, allocated uint64)

	last      time.Time // when a collection ended
	percent   int       // that is in force; base while it is calm
	allocated uint64    // at the last look
}

// run follows the collections, of which it is told, until ctx ends.
func (p *pace) run(ctx context.Context, collected <-chan struct{}) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if p.percent == p.base {
			tick.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-collected:
			if p.collected(time.Now()) {
				tick.Reset(look)
			}
		case <-tick.C:
			p.look()
		}
	}
}

// collected notes the end of a collection. It reports whether that ended the calm.
func (p *pace) collected(now time.Time) bool {
	since := now.Sub(p.last)
	p.last = now
	if since > often && p.percent == p.base {
		return false
	}
	live, allocated := p.heap()
	before := p.percent
	p.grow(max(p.base, min(frequent, int(growthMax*100/max(live, 1))))) //nolint:gosec // small
	if before != p.base || p.percent == p.base {
		return false
	}
	p.allocated = allocated
	return true
}

// look sees whether it is calm again.
func (p *pace) look() {
	_, allocated := p.heap()
	if allocated-p.allocated < calm {
		p.grow(p.base)
	}
	p.allocated = allocated
}

// grow sets by how much the heap may grow. That stops the world for a moment, so
// it is not done for every trifle.
func (p *pace) grow(percent int) {
	diff := percent - p.percent
	if diff == 0 || percent != p.base && diff <= p.percent/8 && -diff <= p.percent/8 {
		return
	}
	p.percent = percent
	p.set(percent)
}

// heap returns the bytes that the last collection found in use, and those that
// were ever allocated.
func heap() (live, allocated uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}
