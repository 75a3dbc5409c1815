package conn

import (
	"context"
	"fmt"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/limit"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Bounds of one pause of a client that is slowed down. Shorter ones would cost
// more than they give; what a longer one gives too much is used up before the
// next. Longer ones are split, so that a changed limit is noticed.
const (
	pauseMin = 2 * time.Millisecond
	pauseMax = time.Second
)

// throttle is where a client stands that is slowed down. Owned by the reader.
type throttle struct {
	wait   time.Duration // not 0: read no more before that has passed
	ticket limit.Ticket  // of the operation at hand; nobody's if it waits for nothing
	since  *limit.Gate   // who gave it
	carry  bool          // there is something to work on before anything is read
}

// regate takes over what limits the client's rates from now on, in the account
// that it belongs to. One that moves meanwhile does so again when it has joined.
func (c *Client) regate() {
	for {
		id := c.Identity()
		if id == nil {
			return
		}
		g, member := id.Account.Gate(c)
		if !member {
			return
		}
		c.gate.Store(g)
		if g.LimitsDelivery() {
			c.out.Flags.Or(egress.Limited)
		}
		if now := c.Identity(); now == nil || now.Account != id.Account {
			continue
		}
		if again, _ := id.Account.Gate(c); again == g {
			return
		}
	}
}

// knock asks whether the client may connect so soon after others. It waits its
// turn if that is how the account is limited.
func (c *Client) knock(id *account.Identity) *account.Refusal {
	v := id.Account.Connecting(id)
	if v.Admits() {
		return nil
	}
	if left := c.host.Options().AuthTimeout - (time.Since(c.start) - c.waited); v.Policy == accounts.Slow && v.Wait < left {
		pause(context.Background(), v.Wait)
		return nil
	}
	return account.TooManyConnects
}

// within asks the limits about an operation. It reports false when the operation
// must not be done: for now if c.slowed.wait is set, else not at all.
func (c *Client) within(w *worker, op *wire.Op) (bool, *account.Refusal) {
	var v limit.Verdict
	switch op.Kind {
	case wire.Pub, wire.HPub:
		if c.waitedFor(w) {
			return true, nil
		}
		v = w.gate.Publish(op.Size, w.clock())
	case wire.Sub:
		if c.waitedFor(w) {
			return true, nil
		}
		v = w.gate.Subscribe(w.clock())
	default:
		return true, nil
	}
	switch {
	case v.Admits():
		return true, nil
	case v.Policy == accounts.Slow:
		c.slowed.ticket, c.slowed.since = v.Ticket, w.gate
		c.slowed.wait = max(v.Wait, pauseMin)
		return false, nil
	}
	c.shedOperation(op)
	if v.Policy == accounts.Close {
		c.complain(w, overLimit(op, &v, 1))
		return false, rateExceeded
	}
	if op.Kind == wire.Sub {
		c.complain(w, overLimit(op, &v, 1))
		return false, nil
	}
	w.refuse(op, &v)
	return false, nil
}

// waitedFor reports whether the operation at hand has waited for its tokens. If
// it has not waited long enough the wait goes on, unless the limits are others by
// now: then they are asked.
func (c *Client) waitedFor(w *worker) bool {
	s := &c.slowed
	if !s.ticket.Held() {
		return false
	}
	if left := s.ticket.Left(w.clock()); left > 0 && s.since == w.gate {
		s.wait = max(left, pauseMin)
		return false
	}
	done := s.since == w.gate
	s.ticket, s.since = limit.Ticket{}, nil
	return done
}

// overLimit says what was refused, in words after which clients stay connected:
// they know the beginning.
func overLimit(op *wire.Op, v *limit.Verdict, n uint64) string {
	what := "Publish"
	subj := op.Subject
	queue := ""
	if op.Kind == wire.Sub {
		what = "Subscription"
		var f [3][]byte
		if k := wire.Args(op.Arg, f[:]); k > 0 {
			subj = f[0]
			if k == 3 {
				queue = fmt.Sprintf(" using queue %q", f[1])
			}
		}
	}
	text := fmt.Sprintf("Permissions Violation for %s to %q%s, over the limit %s", what, subj, queue, v.Limit)
	if n > 1 {
		text += fmt.Sprintf(", %d refused", n)
	}
	if v.Wait > 0 {
		text += fmt.Sprintf(", retry in %v", roundUp(v.Wait))
	}
	return text
}

// roundUp rounds to what is worth telling a human.
func roundUp(d time.Duration) time.Duration {
	unit := time.Millisecond
	if d > time.Minute {
		unit = time.Second
	}
	return (d + unit - 1).Truncate(unit)
}

// refuse notes a message that was refused, or one of its deliveries;
// complainRefused tells.
func (w *worker) refuse(op *wire.Op, v *limit.Verdict) {
	if w.refused++; w.refused == 1 {
		w.refusal = *v
		w.refusedSubject = append(w.refusedSubject[:0], op.Subject...)
	}
}

// complainRefused tells the client how many messages of the batch were refused:
// one line for all of them, before the answer to a PING behind them.
func (c *Client) complainRefused(w *worker) {
	if w.refused == 0 {
		return
	}
	c.complain(w, overLimit(&wire.Op{Kind: wire.Pub, Subject: w.refusedSubject}, &w.refusal, w.refused))
	w.refused = 0
}

// clock returns the time of the batch. Only those who are limited ask for it.
func (w *worker) clock() time.Time {
	if w.now.IsZero() {
		w.now = time.Now()
	}
	return w.now
}

// rest lets the client wait without a goroutine. See Client.leave.
func (c *Client) rest() {
	d := min(c.slowed.wait, pauseMax)
	c.slowed.wait, c.slowed.carry = 0, true
	c.worked.Store(false)
	c.pingsOut.Store(0) // who is not heard cannot answer
	c.host.wg.Add(1)
	c.paused.Store(true)
	time.AfterFunc(d, func() {
		if c.paused.CompareAndSwap(true, false) {
			defer c.host.wg.Done()
			c.resume()
		}
	})
	if c.refusal.Load() != nil {
		c.rouse()
	}
}

// rouse lets a client that waits go on at once, because it must end.
func (c *Client) rouse() {
	if c.paused.CompareAndSwap(true, false) {
		c.host.wg.Go(c.resume)
		c.host.wg.Done()
	}
}

// mayDeliver asks the limits of a subscription's client about a message for it.
// Who publishes to its own account is slowed for that; others cannot be, so that
// what is over the limit is dropped.
func (w *worker) mayDeliver(from *egress.Conn, dst *Client, op *wire.Op, size int) bool {
	g := dst.gate.Load()
	if !g.LimitsDelivery() {
		return true
	}
	v := g.Deliver(size, w.clock())
	if v.Admits() {
		return true
	}
	own := from != nil && sameAccount(from, dst)
	switch v.Policy {
	case accounts.Slow:
		if own {
			w.owed = max(w.owed, v.Wait)
			return true
		}
		if v.Wait <= foreignSlack {
			return true
		}
		g.Dropped(size)
	case accounts.Close:
		dst.Disconnect(deliveryExceeded)
	default:
		if own {
			w.refuse(op, &v)
		}
	}
	dst.shedDelivery(size)
	return false
}

func sameAccount(from *egress.Conn, dst *Client) bool {
	src, ok := from.Owner.(*Client)
	who := dst.shown.Load()
	return ok && who != nil && who.identity.Account == src.identity.Account
}

// foreignSlack is how far those who cannot be slowed may be ahead of a rate.
const foreignSlack = time.Second

// Refusals of those who go over a limit whose policy is to close. The client was
// told before.
//
//nolint:gochecknoglobals // a table of constants
var (
	slowBudget            = &account.Refusal{Reason: "Slow Consumer (Pending Bytes)", Log: "too many bytes were pending in the account, most of them here"}
	rateExceeded          = &account.Refusal{Reason: "Rate Limit Exceeded", Log: "the client did more than a limit allows, whose policy is to close"}
	deliveryExceeded      = &account.Refusal{Reason: "Rate Limit Exceeded", Log: "the client got more than a limit allows, whose policy is to close"}
	subscriptionsExceeded = &account.Refusal{Reason: "Maximum Subscriptions Exceeded", Log: "the account has as many subscriptions as it may, and its policy is to close"}
)
