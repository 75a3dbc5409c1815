package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Storm is what RunPaced did.
type Storm struct {
	Connects int64         `json:"connects"`
	Failed   int64         `json:"failed"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	// Why is one reason of a failure, if there is one.
	Why string `json:"why,omitempty"`
}

// RunPaced connects and aborts at a rate a second, with users in turn, until ctx
// ends. It makes as many as the dialers manage if that is fewer; what is behind is
// not made up for. A failed connect is counted and is no error.
func RunPaced(ctx context.Context, d Dialer, perSecond, dialers int) Storm {
	var (
		wg           sync.WaitGroup
		made, failed atomic.Int64
		why          atomic.Value
	)
	base := time.Now()
	p := pace{next: base, step: time.Second / time.Duration(perSecond)}
	for range dialers {
		wg.Go(func() {
			for i := range p.turns(ctx) {
				err := connectOnce(ctx, d.turn(i), nil)
				switch {
				case err == nil:
					made.Add(1)
				case !errors.Is(err, context.Canceled) && ctx.Err() == nil:
					failed.Add(1)
					why.Store(fmt.Sprint(err))
				}
			}
		})
	}
	wg.Wait()
	text, _ := why.Load().(string)
	return Storm{Connects: made.Load(), Failed: failed.Load(), Elapsed: time.Since(base), Why: text}
}

// pace says when several goroutines do what.
type pace struct {
	step time.Duration

	mu   sync.Mutex
	next time.Time // guarded by mu, as is what follows
	n    int
}

// behind is how much of what was missed is made up for.
const behind = 10 * time.Millisecond

// turns yields the number of each turn of the caller when it is due, until ctx
// ends.
func (p *pace) turns(ctx context.Context) func(func(int) bool) {
	return func(yield func(int) bool) {
		for ctx.Err() == nil {
			n, due := p.take()
			if !until(ctx, due) || !yield(n) {
				return
			}
		}
	}
}

func (p *pace) take() (int, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if late := time.Now().Add(-behind); p.next.Before(late) {
		p.next = late
	}
	n, due := p.n, p.next
	p.n, p.next = n+1, due.Add(p.step)
	return n, due
}

// until waits until it is t, and reports whether it was before ctx ended.
func until(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
