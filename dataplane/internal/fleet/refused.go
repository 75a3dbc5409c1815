package fleet

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/dataplane/internal/refusals"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

// refusedWaiting bounds what waits for a session's sender.
const refusedWaiting = 16 << 10

// TellRefusals hands what clients were refused to the session, if there is one and
// it is not behind. What it hands over may be lost with the session.
func (c *Client) TellRefusals(lines []refusals.Line) bool {
	c.mu.Lock()
	out := c.out
	online := c.phase == online && out != nil && !c.leaving
	c.mu.Unlock()
	if !online {
		return false
	}
	taken := false
	out.change(func(m *mail) {
		if taken = len(m.refused)+len(lines) <= refusedWaiting; !taken {
			return
		}
		for _, l := range lines {
			m.refused = append(m.refused, &fleetv1.Refusal{
				AccountPublicKey: l.Account, UserPublicKey: l.User, Kind: string(l.Kind), Reason: l.Reason, Count: int64(l.Count),
				FirstTime: timestamppb.New(l.First), LastTime: timestamppb.New(l.Last),
			})
		}
	})
	return taken
}
