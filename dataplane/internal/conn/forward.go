package conn

import (
	"math/rand/v2"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// routed is a route that gets the message in hand: once, whatever matched.
type routed struct {
	dst    *egress.Conn
	flags  uint32
	queues []string // groups of which the other broker is to choose a member
}

// Filter is the owner of a route that must be asked about each message.
type Filter interface {
	// Admits reports whether a message may go over the route.
	Admits(subject []byte) bool
}

// takes reports whether a route may get the message.
func takes(dst *egress.Conn, flags uint32, op *wire.Op) bool {
	if flags&egress.Closed != 0 {
		return false
	}
	return flags&egress.Filtered == 0 || dst.Owner.(Filter).Admits(op.Subject) //nolint:errcheck // the owner of a route that is filtered is one
}

// route notes that a route gets the message.
func (w *worker) route(dst *egress.Conn, flags uint32, op *wire.Op) bool {
	if !takes(dst, flags, op) {
		return false
	}
	w.routeTo(dst, flags)
	return true
}

func (w *worker) routeTo(dst *egress.Conn, flags uint32) *routed {
	for i := range w.routed {
		if w.routed[i].dst == dst {
			return &w.routed[i]
		}
	}
	n := len(w.routed)
	if n < cap(w.routed) {
		w.routed = w.routed[:n+1]
	} else {
		w.routed = append(w.routed, routed{})
	}
	r := &w.routed[n]
	r.dst, r.flags, r.queues = dst, flags, r.queues[:0]
	return r
}

// routeQueue notes that another broker is to choose a member of a queue group.
func (w *worker) routeQueue(op *wire.Op, sub *interest.Sub) bool {
	flags := sub.Dst.Flags.Load()
	if !takes(sub.Dst, flags, op) {
		return false
	}
	r := w.routeTo(sub.Dst, flags)
	r.queues = append(r.queues, sub.Queue())
	return true
}

// forward stages the message for the routes that were noted.
func (w *worker) forward(acct *account.Account, op *wire.Op) {
	if w.tracing != nil {
		w.forwardTraced(acct, op)
		return
	}
	for i := range w.routed {
		r := &w.routed[i]
		m := w.message
		if r.flags&egress.NoHeaders != 0 && m.Headers {
			m = *w.withoutHeaders(op)
		}
		m.Routed, m.Account, m.Tally = true, acct.Key, &acct.Routed.Sent
		head := w.head[:0]
		if r.flags&egress.Dedicated == 0 {
			head = append(append(head, acct.Key...), ' ')
		}
		head = append(head, op.Subject...)
		if len(r.queues) > 0 {
			if len(op.Reply) > 0 {
				head = append(append(head, " + "...), op.Reply...)
				m.Tail = m.Tail[len(op.Reply)+1:]
			} else {
				head = append(head, " |"...)
			}
			for _, q := range r.queues {
				head = append(append(head, ' '), q...)
			}
		}
		m.Subject, w.head = head, head
		w.batch.Deliver(r.dst, &m, " ")
		r.dst = nil
	}
	w.routed = w.routed[:0]
}

// Inbound delivers to our clients what other brokers' clients published. It
// belongs to the reader of one route.
type Inbound struct{ w *worker }

// NewInbound returns an Inbound; call Release when its route ends.
func (h *Host) NewInbound() *Inbound { return &Inbound{w: getWorker(h)} }

// Release gives back what NewInbound took.
func (in *Inbound) Release() { putWorker(in.w) }

// Begin starts a batch whose messages lie in buffer.
func (in *Inbound) Begin(buffer *egress.Buffer) {
	in.w.now = time.Time{}
	in.w.batch.Begin(buffer)
}

// Attend says whose messages come now.
func (in *Inbound) Attend(a *account.Account) { in.w.host.attend(&a.Turns) }

// Long is called when a batch turns out to be more than a little work: somebody
// looks out for others meanwhile, and is let go first. The answer is for
// lookout.Insist, at the end of the batch.
func (in *Inbound) Long() (thread int) { return in.w.host.workLong() }

// Deliver stages a message for the plain subscriptions of the account's clients
// and one member of each of the given groups. It goes to no other route. It
// returns about how many got it.
func (in *Inbound) Deliver(a *account.Account, op *wire.Op, queues [][]byte, peer Peer) (deliveries int) {
	if op.HeaderLen > 0 && wantsTrace(op.Body[:op.HeaderLen], a) {
		if n, done := in.deliverTraced(a, op, queues, peer); done {
			return n
		}
	}
	return in.deliver(a, op, queues)
}

func (in *Inbound) deliver(a *account.Account, op *wire.Op, queues [][]byte) (deliveries int) {
	w := in.w
	w.inbound = true
	a.Index.Match(op.Subject, &w.result)
	if w.result.Empty() {
		return 0
	}
	w.prepare(op)
	deliver := w.deliver
	if w.tracing != nil {
		deliver = w.deliverTraced
	}
	if measuredElsewhere(op.Reply) {
		deliver = w.measures(a, op.Subject, deliver)
	}
	for i := range w.result.Plain() {
		subs := w.result.PlainAt(i)
		for j := range subs {
			if sub := subs[j].Load(); sub != nil && deliver(nil, op, sub) {
				deliveries++
			}
		}
	}
	groups := w.result.Groups()
	for i := range groups {
		if named(groups[i].Name, queues) {
			groups[i].Pick(rand.Uint64(), func(sub *interest.Sub) bool { return deliver(nil, op, sub) }) //nolint:gosec // a spread, not a secret
			deliveries++
		}
	}
	if l := a.Links(); l != nil {
		if w.cross(nil, a, l, op, nil) {
			deliveries++
		}
	}
	return deliveries
}

func named(name string, queues [][]byte) bool {
	for _, q := range queues {
		if string(q) == name {
			return true
		}
	}
	return false
}

// Flush hands over what is staged. It never waits for those who read slowly.
func (in *Inbound) Flush() {
	in.w.batch.Flush(nil)
	in.w.batch.Forget()
}
