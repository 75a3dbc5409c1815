package conn

import (
	"math/rand/v2"

	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// prepare makes the message that will be framed for each destination.
func (w *worker) prepare(op *wire.Op) {
	m := &w.message
	m.Subject, m.Size, m.Headers = op.Subject, op.Size, op.HeaderLen > 0
	w.stripped.Tail = nil
	switch {
	case op.HeaderLen == 0:
		// An empty header block is none: the message goes out as MSG.
		plain := *op
		plain.HeaderLen = -1
		w.scratch = plain.AppendTail(w.scratch[:0])
		m.Tail, m.InBuffer = w.scratch, false
	case op.Tail != nil:
		m.Tail, m.InBuffer = op.Tail, true
	default:
		w.scratch = op.AppendTail(w.scratch[:0])
		m.Tail, m.InBuffer = w.scratch, false
	}
}

// withoutHeaders returns the message for clients that do not know headers.
func (w *worker) withoutHeaders(op *wire.Op) *egress.Message {
	if w.stripped.Tail == nil {
		plain := *op
		plain.Resize(-1, op.Body[op.HeaderLen:])
		w.cut = plain.AppendTail(w.cut[:0])
		w.stripped = egress.Message{Subject: op.Subject, Tail: w.cut, Size: plain.Size}
	}
	return &w.stripped
}

// fanOut stages the message for every plain subscription and one member of each
// queue group; what goes to other brokers is only noted, see forward. It reports
// whether anybody gets it.
func (w *worker) fanOut(from *egress.Conn, op *wire.Op) bool {
	if w.tracing != nil {
		return w.fanOutTraced(from, op)
	}
	delivered := false
	for i := range w.result.Plain() {
		subs := w.result.PlainAt(i)
		for j := range subs {
			if sub := subs[j].Load(); sub != nil && w.deliver(from, op, sub) {
				delivered = true
			}
		}
	}
	groups := w.result.Groups()
	for i := range groups {
		if w.toGroup(from, op, &groups[i]) {
			delivered = true
		}
	}
	return delivered
}

// toGroup stages the message for one member of a queue group: one of ours if
// there is any, else one of another broker's.
func (w *worker) toGroup(from *egress.Conn, op *wire.Op, g *interest.Group) bool {
	random := rand.Uint64() //nolint:gosec // a spread, not a secret
	if g.Pick(random, func(sub *interest.Sub) bool { return w.deliver(from, op, sub) }) != nil {
		return true
	}
	return g.PickRemote(random, func(sub *interest.Sub) bool { return w.routeQueue(op, sub) }) != nil
}

// deliver stages the message for one subscription, unless something forbids it.
func (w *worker) deliver(from *egress.Conn, op *wire.Op, sub *interest.Sub) bool {
	m := &w.message
	flags := sub.Dst.Flags.Load()
	switch {
	case flags == 0:
	case flags&egress.Routed != 0:
		return from != nil && w.route(sub.Dst, flags, op)
	case flags&egress.Internal != 0:
		return take(from, flags, op, sub)
	case flags&egress.Importing != 0 && sub.Shadow() != nil:
		return w.deliverShadow(from, flags, op, sub.Shadow())
	case !w.passes(from, flags, op, sub):
		return false
	case flags&egress.NoHeaders != 0 && m.Headers:
		m = w.withoutHeaders(op)
	}
	return w.stage(flags, sub, m)
}

// stage stages the message in hand for one subscription, as long as that has not
// got all it asked for.
func (w *worker) stage(flags uint32, sub *interest.Sub, m *egress.Message) bool {
	n := sub.Delivered.Add(1)
	if most := int64(sub.Max.Load()); most > 0 && n >= most {
		if n > most {
			return false
		}
		owner(sub).exhausted(sub)
	}
	if flags&egress.Traced != 0 {
		traceDelivery(m, sub)
	}
	w.spent += 1 + m.Size>>workShift
	w.batch.Deliver(sub.Dst, m, sub.Frame())
	return true
}

// owner returns the client that subscribed.
func owner(sub *interest.Sub) *Client {
	return sub.Dst.Owner.(*Client) //nolint:errcheck // all subscriptions but routes', which are never asked, are clients'
}

// passes checks the rare conditions of a delivery.
func (w *worker) passes(from *egress.Conn, flags uint32, op *wire.Op, sub *interest.Sub) bool {
	if flags&egress.Full != 0 || skipped(from, flags) {
		owner(sub).shedDelivery(w.message.Size)
		return false
	}
	if flags&egress.Closed != 0 || flags&egress.NoEcho != 0 && sub.Dst == from {
		return false
	}
	if flags&egress.Filtered != 0 && !owner(sub).admit(op.Subject, sub.Queue(), op.Reply) {
		return false
	}
	return flags&egress.Limited == 0 || w.mayDeliver(from, owner(sub), op, w.message.Size)
}

// skipped reports whether the destination loses what a client publishes rather
// than hold it up. Other brokers' messages never wait here.
func skipped(from *egress.Conn, flags uint32) bool {
	if flags&egress.Slow == 0 || from == nil {
		return false
	}
	_, client := from.Owner.(*Client)
	return client
}
