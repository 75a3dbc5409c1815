package fleet

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/dataplane/internal/seen"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	seenWaiting = 64 << 10 // what waits for a session's sender
	seenMax     = 1000     // how many sightings one message tells
)

// TellSeen hands the credentials that clients were connected with to the session. It
// reports false if there is none, or one that is behind. A control plane that does
// not want to hear of them is told nothing, and what it would be told is gone.
func (c *Client) TellSeen(lines []seen.Line) bool {
	c.mu.Lock()
	out, wanted := c.out, c.wantsSeen
	online := c.phase == online && out != nil && !c.leaving
	c.mu.Unlock()
	if !online {
		return false
	}
	if !wanted {
		return true
	}
	taken := false
	out.change(func(m *mail) {
		if taken = len(m.seen)+len(lines) <= seenWaiting; !taken {
			return
		}
		for _, l := range lines {
			m.seen = append(m.seen, &fleetv1.Sighting{
				AccountPublicKey: l.Account, UserPublicKey: l.User, IssuedAt: l.IssuedAt, Time: timestamppb.New(l.At),
			})
		}
	})
	return taken
}
