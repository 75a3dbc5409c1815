package conn

import (
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/dataplane/internal/lookout"
	"github.com/coveymq/covey/dataplane/internal/turn"
)

// briefWork is how much is done after a wait before somebody is to look out for
// others.
const briefWork = turn.Quantum / 8

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
	return w.spent >= w.until && !c.goOn(w)
}

// goOn is called when there turns out to be more than a little to do, and after
// each quantum. It reports whether the batch may go on: as long as nobody has to
// wait for that. What is done meanwhile is not held against the account.
func (c *Client) goOn(w *worker) bool {
	if w.until < turn.Quantum {
		w.until = turn.Quantum
		c.thread = c.host.workLong()
		if w.spent < w.until {
			return true
		}
	}
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

// company is whether several accounts are served just now.
type company struct {
	last  atomic.Pointer[turn.Share] // who was served last
	until atomic.Int64               // tick up to which there are others
}

// companyLasts is for how long after two accounts took turns there is company.
const companyLasts = int64(10 * time.Second / wheelTick)

// attend notes which account's batch comes now. As long as there is one account
// nothing is written.
func (h *Host) attend(s *turn.Share) {
	last := h.company.last.Load()
	if last == s {
		return
	}
	h.company.last.Store(s)
	if until := h.wheel.now.Load() + companyLasts; last != nil && h.company.until.Load() != until {
		h.company.until.Store(until)
	}
}

// workLong is called by whoever turns out to work for long. If several accounts
// are served just now, somebody looks out for others meanwhile and is let go
// first. A single account does not pay for that. The answer is for lookout.Insist.
func (h *Host) workLong() (thread int) {
	if h.company.until.Load() <= h.wheel.now.Load() {
		return 0
	}
	lookout.Call()
	return lookout.GiveWay()
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
		work, w.spent, w.until = w.spent, 0, briefWork
	}
	lookout.Insist(c.thread)
	c.thread = 0
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
