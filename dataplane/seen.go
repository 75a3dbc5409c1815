package dataplane

import (
	"context"
	"time"
)

const (
	seenLook   = time.Second      // how late the first sighting after a quiet time is told
	seenEvery  = 10 * time.Second // between two reports
	seenRounds = 360              // reports after which everybody who stays was looked at: an hour
)

// tellSeen tells the control plane with which credentials clients are connected,
// until ctx ends.
func (e *enrolment) tellSeen(ctx context.Context) error {
	ticker := time.NewTicker(seenLook)
	defer ticker.Stop()
	var told, looked time.Time
	round := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if now.Sub(looked) >= seenEvery {
				looked = now
				e.host.NoteSeen(round%seenRounds, seenRounds, now)
				round++
			}
			if now.Sub(told) >= seenEvery && e.tellSightings() {
				told = now
			}
		}
	}
}

// tellSightings reports whether there was something to tell. What cannot be told
// now stays in the book.
func (e *enrolment) tellSightings() bool {
	lines := e.seen.Take()
	if len(lines) == 0 {
		return false
	}
	if !e.fleet.TellSeen(lines) {
		e.seen.Back(lines)
	}
	return true
}
