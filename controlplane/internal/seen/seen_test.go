package seen

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

func sighting(user string, issued int64, at time.Time) *fleetv1.Sightings {
	return &fleetv1.Sightings{Sightings: []*fleetv1.Sighting{{AccountPublicKey: "A", UserPublicKey: user, IssuedAt: issued, Time: timestamppb.New(at)}}}
}

func TestWhatIsToldWaitsOnceAndWithinBounds(t *testing.T) {
	c := New(nil, slog.New(slog.DiscardHandler))
	now := time.Now()
	for n := range 3 * waitingMax {
		c.Take(sighting(fmt.Sprint("U", n%(waitingMax+100)), 1, now.Add(-time.Duration(n)*time.Millisecond)))
	}
	if len(c.waiting) != waitingMax {
		t.Errorf("%d wait", len(c.waiting))
	}
	part, lost := c.some()
	if len(part) != turnMax || lost == 0 || len(c.waiting) != waitingMax-turnMax {
		t.Errorf("%d at one look, %d lost, %d wait on", len(part), lost, len(c.waiting))
	}
}

func TestTheLatestCountsAndNothingIsInTheFuture(t *testing.T) {
	c := New(nil, slog.New(slog.DiscardHandler))
	now := time.Now()
	for _, at := range []time.Time{now.Add(-time.Hour), now.Add(-time.Minute), now.Add(-2 * time.Hour)} {
		c.Take(sighting("U", 7, at))
	}
	c.Take(sighting("", 7, now))
	c.Take(sighting("U", 0, now))
	c.Take(sighting("EARLY", now.Unix(), now.Add(-2*skewMax))) // before it was issued
	c.Take(sighting("AHEAD", 7, now.Add(time.Hour)))
	part, _ := c.some()
	if len(part) != 2 {
		t.Fatalf("wait: %+v", part)
	}
	for _, s := range part {
		if s.User == "U" && !s.Time.Equal(now.Add(-time.Minute)) || s.Time.After(time.Now()) {
			t.Errorf("waits: %+v", s)
		}
	}
}
