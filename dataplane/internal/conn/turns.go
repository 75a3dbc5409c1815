package conn

import (
	"time"

	"github.com/coveymq/covey/dataplane/internal/turn"
)

// workShift is how many bytes of a delivery, as a power of two, cost as much as a
// delivery does without them.
const workShift = 12

// enough notes that an operation was handled, and reports whether the batch is to
// end with it: for the client must wait, or others come first.
func (c *Client) enough(w *worker) bool {
	if w.owed > 0 {
		c.slowed.wait, w.owed = max(w.owed, pauseMin), 0
		return true
	}
	w.spent++
	return w.spent >= turn.Quantum && !c.goOn(w)
}

// goOn reports whether the batch may go on beyond a quantum: as long as nobody
// has to wait for that. What is done meanwhile is not held against the account.
func (c *Client) goOn(w *worker) bool {
	switch {
	case c.turn != nil:
		if c.host.turns.Wanted() {
			return false
		}
	case !c.host.turns.Try():
		return false
	default:
		c.turn = c.share()
	}
	w.spent, w.now = 0, time.Time{}
	return true
}

// nextTurn is called when a reader has worked for a quantum without a break: it
// gives up the turn it has, if it has one, and takes the next.
func (c *Client) nextTurn(w *worker) {
	if c.turn == nil {
		c.turn = c.share()
		c.host.turns.Begin(c.turn)
	} else {
		c.host.turns.Next(c.turn, w.spent)
	}
	w.spent, w.now = 0, time.Time{}
}

// endTurn gives up the turn that the reader has, if it has one, before it waits
// for something. A nil worker is for one that is lost.
func (c *Client) endTurn(w *worker) {
	work := turn.Quantum
	if w != nil {
		work, w.spent = w.spent, 0
	}
	if c.turn != nil {
		c.host.turns.End(c.turn, work)
		c.turn = nil
	}
}

// share returns whose turns the reader takes: those of its account, or those of
// all who have not said yet who they are.
func (c *Client) share() *turn.Share {
	if c.identity == nil {
		return &c.host.strangers
	}
	return &c.identity.Account.Turns
}
