package dataplane

import (
	"context"
	"time"
)

const (
	refusalsLook  = time.Second      // how late the first refusal after a quiet time is told
	refusalsEvery = 10 * time.Second // between two reports
)

// tellRefusals tells the control plane what clients were refused, until ctx ends.
func (e *enrolment) tellRefusals(ctx context.Context) error {
	ticker := time.NewTicker(refusalsLook)
	defer ticker.Stop()
	var told time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if now.Sub(told) < refusalsEvery {
				continue
			}
			if e.tellRefused(now) {
				told = now
			}
		}
	}
}

// tellRefused reports whether there was something to tell. What cannot be told
// now stays in the book.
func (e *enrolment) tellRefused(now time.Time) bool {
	e.host.TellRefusals(now)
	lines := e.refusals.Take()
	if len(lines) == 0 {
		return false
	}
	if !e.fleet.TellRefusals(lines) {
		e.refusals.Back(lines)
	}
	return true
}
