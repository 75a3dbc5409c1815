// Package lifecycle owns goroutines: it starts them, tells them to stop and
// waits for them. It knows nothing of what they do.
package lifecycle

import (
	"context"
	"errors"
	"sync"
)

// Group runs several blocking functions as one. The first that returns, with
// or without an error, cancels the context of the others; Wait returns after
// all have returned.
//
// A Group is made by NewGroup; its methods may be called from any goroutine,
// Go only before Wait returns.
type Group struct {
	ctx    context.Context //nolint:containedctx // the root that the group itself cancels
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu  sync.Mutex
	err error // the first error; guarded by mu
}

var errMemberReturned = errors.New("a member of the group returned")

// NewGroup returns an empty group whose members stop when ctx ends.
func NewGroup(ctx context.Context) *Group {
	g := &Group{}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g
}

// Context is done when the group is stopping.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f in its own goroutine. When f returns the whole group stops.
func (g *Group) Go(f func(ctx context.Context) error) {
	g.wg.Go(func() {
		err := f(g.ctx)
		g.fail(err)
		if err == nil {
			err = errMemberReturned
		}
		g.cancel(err)
	})
}

// Side runs f in its own goroutine. The group stops only if f fails; use it
// for work that may end on its own.
func (g *Group) Side(f func(ctx context.Context) error) {
	g.wg.Go(func() {
		if err := f(g.ctx); err != nil {
			g.fail(err)
			g.cancel(err)
		}
	})
}

func (g *Group) fail(err error) {
	if err == nil || errors.Is(err, context.Canceled) && g.ctx.Err() != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
}

// Stop tells all members to stop. It does not wait.
func (g *Group) Stop() { g.cancel(context.Canceled) }

// Wait returns after every member has returned, with the first error that was
// not mere obedience to a cancelled context.
func (g *Group) Wait() error {
	g.wg.Wait()
	g.cancel(nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}
