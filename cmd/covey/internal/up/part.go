package up

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/internal/errs"
)

// part is one running part. Whoever launches it stops it.
type part struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // written before done is closed
	wg     sync.WaitGroup
}

// launch runs f until stop. It does not end with ctx: parts drain in order.
func launch(ctx context.Context, name string, f func(context.Context) error) *part {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{name: name, cancel: cancel, done: make(chan struct{})}
	p.wg.Go(func() {
		defer close(p.done)
		p.err = f(ctx)
	})
	return p
}

// stop asks the part to drain and waits as long as is left. A part that takes
// longer is given up: the process ends anyway.
func (p *part) stop(deadline time.Time) error {
	p.cancel()
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-p.done:
		p.wg.Wait()
	case <-t.C:
		return term.Failf("the next start recovers by itself", "the %s did not stop in time", p.name)
	}
	if p.err == nil || errors.Is(p.err, context.Canceled) {
		return nil
	}
	return startFault("run the "+p.name, p.err)
}

// startFault turns the failures that a person can do something about into a
// line that says so.
func startFault(step string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return term.Failf("make room, or use another disk with --data DIR", "%s: no space left on the disk", step)
	case errors.Is(err, syscall.EADDRINUSE):
		return term.Failf("stop what uses it, or choose another with the port flags: `covey up --help`", "%s: %w", step, err)
	}
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return term.Failf(e.Next, "%s: %s", step, e.Message)
	}
	if _, ok := errors.AsType[*term.Fault](err); ok {
		return err
	}
	return fmt.Errorf("%s: %w", step, err)
}
