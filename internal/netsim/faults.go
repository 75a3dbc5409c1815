package netsim

import (
	"context"
	"sync"
	"time"
)

// Path is what is wrong with one direction of a link. The zero value is a good
// one.
type Path struct {
	// Cut holds all bytes back until it is healed. What the sockets' buffers do
	// not take pushes back on the sender.
	Cut bool
	// Delay is how long every byte is under way.
	Delay time.Duration
	// BytesPerSecond is the most that passes; 0 for no limit.
	BytesPerSecond int
}

// Faults is what is wrong with a link. The zero value is a good link.
type Faults struct {
	// Refuse closes new connections at once.
	Refuse bool
	// Out leads to the target, Back to who connected.
	Out, Back Path
}

// weather holds the faults that are in force, and tells who waits for others.
type weather struct {
	mu      sync.Mutex
	faults  Faults        // guarded by mu
	changed chan struct{} // closed when faults are replaced; guarded by mu
}

func newWeather() *weather { return &weather{changed: make(chan struct{})} }

func (w *weather) set(f Faults) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = f
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *weather) now() (Faults, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults, w.changed
}

// pass waits until n bytes that were read at a time may be written. It returns
// the error of ctx.
func (w *weather) pass(ctx context.Context, path func(Faults) Path, n int, read time.Time) error {
	begun := time.Now()
	for {
		f, changed := w.now()
		p := path(f)
		due := read.Add(p.Delay)
		if p.BytesPerSecond > 0 {
			if slow := begun.Add(time.Duration(n) * time.Second / time.Duration(p.BytesPerSecond)); slow.After(due) {
				due = slow
			}
		}
		wait := time.Until(due)
		if !p.Cut && wait <= 0 {
			return ctx.Err()
		}
		if err := until(ctx, changed, p.Cut, wait); err != nil {
			return err
		}
	}
}

// until waits for a change and, unless it is forever, no longer than d.
func until(ctx context.Context, changed <-chan struct{}, forever bool, d time.Duration) error {
	var over <-chan time.Time
	if !forever {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-over:
	}
	return nil
}
