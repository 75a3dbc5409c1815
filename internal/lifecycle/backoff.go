package lifecycle

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff spaces out tries: exponential from Min to Max, each pause shortened
// at random by up to half so that a fleet does not try in step. The zero value
// is not usable; set Min and Max.
type Backoff struct {
	Min, Max time.Duration
	next     time.Duration
}

// Wait pauses for the next interval, or until ctx ends, whose error it returns.
func (b *Backoff) Wait(ctx context.Context) error {
	d := b.step()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Next returns the next interval for who waits elsewhere.
func (b *Backoff) Next() time.Duration { return b.step() }

// Reset makes the next pause the shortest again; call it after a success.
func (b *Backoff) Reset() { b.next = 0 }

func (b *Backoff) step() time.Duration {
	if b.next == 0 {
		b.next = b.Min
	}
	d := b.next
	b.next = min(2*b.next, b.Max)
	return d/2 + rand.N(d/2+1) //nolint:gosec // spacing, not secrecy
}
