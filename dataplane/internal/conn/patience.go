package conn

import (
	"context"
	"sync"
	"time"
)

// patience is a context that lasts for a time from when somebody first asks how
// long it lasts. Whoever need not wait costs no timer: nearly every connect finds
// all it needs at once.
type patience struct {
	lasts time.Duration

	once sync.Once
	ctx  context.Context //nolint:containedctx // it is one itself
	end  context.CancelFunc
}

func (p *patience) begin() context.Context {
	p.once.Do(func() { p.ctx, p.end = context.WithTimeout(context.Background(), p.lasts) })
	return p.ctx
}

// stop lets go of the timer. Nobody may use the context any more.
func (p *patience) stop() {
	p.once.Do(func() {})
	if p.end != nil {
		p.end()
	}
}

// Deadline begins the time.
func (p *patience) Deadline() (time.Time, bool) { return p.begin().Deadline() }

// Done begins the time.
func (p *patience) Done() <-chan struct{} { return p.begin().Done() }

// Err begins the time.
func (p *patience) Err() error { return p.begin().Err() }

// Value holds nothing.
func (p *patience) Value(any) any { return nil }
