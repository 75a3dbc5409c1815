package conn

import (
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/share"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// passage is one step of a message from account to account.
type passage struct {
	service *share.Export
	link    *account.Link // nil on the way back
	before  *passage
}

// through reports whether a message has come through a service already.
func (p *passage) through(service *share.Export) bool {
	for ; p != nil; p = p.before {
		if p.service == service {
			return true
		}
	}
	return false
}

// carrier is the room for a message on its way into another account.
type carrier struct {
	op                           wire.Op
	subject, reply, body, mapped []byte
}

// carry returns room for the message that is one step further; give it back with
// putDown.
func (w *worker) carry() *carrier {
	if w.carried == len(w.carriers) {
		w.carriers = append(w.carriers, &carrier{})
	}
	w.carried++
	return w.carriers[w.carried-1]
}

func (w *worker) putDown() { w.carried-- }

// cross sends a message that is published in an account on into others: as a
// request through the services that the account imports, as an answer back to
// who asked. It reports whether anybody there gets it.
func (w *worker) cross(from *egress.Conn, a *account.Account, l *account.Links, op *wire.Op, p *passage) bool {
	if t := w.tracing; t != nil {
		w.tracing = nil
		defer func() { w.tracing = t }()
		return w.crossTraced(from, a, l, t, op, p)
	}
	return w.crossNow(from, a, l, op, p)
}

// crossNow is cross for a message that is not traced any further.
func (w *worker) crossNow(from *egress.Conn, a *account.Account, l *account.Links, op *wire.Op, p *passage) bool {
	delivered := w.answerTo(from, a, op, p)
	if w.inbound {
		return delivered // who published it has asked the services
	}
	first := len(w.services)
	w.services = l.ServicesFor(w.services, op.Subject)
	last := len(w.services)
	for i := first; i < last; i++ {
		link := w.services[i]
		if !p.through(link.Export) && w.request(from, a, &passage{link.Export, link, p}, op) {
			delivered = true
		}
	}
	clear(w.services[first:last])
	w.services = w.services[:first]
	return delivered
}

// answerTo sends a message to who asked for it, if it is an answer.
func (w *worker) answerTo(from *egress.Conn, a *account.Account, op *wire.Op, p *passage) bool {
	x := awaited(a, op, p)
	return x != nil && w.answer(from, a, x, op, p)
}

// awaited returns what a message answers; nil if nothing.
func awaited(a *account.Account, op *wire.Op, p *passage) *account.Answer {
	if !hasPrefix(op.Subject, serviceReply) {
		return nil
	}
	if x := a.Awaited(op.Subject); x != nil && !p.through(x.Service) {
		return x
	}
	return nil
}

// passagesMax bounds the services that one message goes through, one after the other
// and beside each other. Accounts whose mappings lead from one service to the next
// could make factorially many of a few: a circle is refused only where it shows
// without the mappings.
const passagesMax = 1024

// wentTooFar tells the client that its message went through as many services as a
// message may, and not through the others. The log says so once a minute at most.
func (c *Client) wentTooFar(w *worker, subj []byte) {
	c.publishViolation(w, subj)
	minute := time.Now().Unix() / 60
	if c.host.tooFar.Swap(minute) != minute {
		c.host.Log.Warn("a message would go through more services than it may; accounts import from each other through mappings",
			"account", c.identity.Account.Key, "user", c.identity.User, "subject", string(subj), "most", passagesMax)
	}
}

// request sends a message through a service import.
func (w *worker) request(from *egress.Conn, a *account.Account, p *passage, op *wire.Op) bool {
	if w.passages++; w.passages > passagesMax {
		return false
	}
	link := p.link
	c := w.carry()
	defer w.putDown()
	c.subject = link.AppendRemote(c.subject[:0], op.Subject)
	w.introduce(c, from, a, p, op)
	s := w.sample(from, p, op)
	var x *account.Answer
	switch {
	case len(op.Reply) == 0:
		s.badRequest()
	case hasPrefix(op.Reply, ackPrefix):
		c.op.Reply = op.Reply // of a stream's consumer, which has its own way back
	default:
		x = link.From.Expect(a, string(op.Reply), link.Export, s.waiter())
		s.awaits(x)
		c.reply = append(c.reply[:0], x.Subject...)
		c.op.Reply = c.reply
	}
	delivered := w.enter(from, link.From, c, op.Size, p)
	switch {
	case x == nil:
	case w.tracing.diverts():
		link.From.Settle(x) // nobody was asked
	case !delivered && link.From.Settle(x):
		s.unavailable(x)
	}
	return delivered
}

// answer sends a message back to who asked for it.
func (w *worker) answer(from *egress.Conn, a *account.Account, x *account.Answer, op *wire.Op, p *passage) bool {
	c := w.carry()
	defer w.putDown()
	c.subject = append(c.subject[:0], x.Reply...)
	c.op = *op
	var further *account.Answer
	if len(op.Reply) > 0 && !hasPrefix(op.Reply, ackPrefix) {
		further = x.To.Expect(a, string(op.Reply), x.Service, nil)
		c.reply = append(c.reply[:0], further.Subject...)
		c.op.Reply, c.op.Tail = c.reply, nil
	}
	if w.inbound {
		from = &w.host.beyond
	}
	m := w.answered(from, x)
	delivered := w.enter(from, x.To, c, op.Size, &passage{x.Service, nil, p})
	if further != nil && !delivered {
		x.To.Settle(further)
	}
	switch {
	case x.Trace: // there may be more
	case delivered && x.Service.Response != share.Singleton && op.Size > 0:
		a.Extend(x)
	case m != nil:
		m.given(a, x)
	default:
		a.Settle(x)
	}
	return delivered
}

// enter delivers a message in another account, as if it had been published
// there. What is counted is the size that its publisher gave it.
func (w *worker) enter(from *egress.Conn, a *account.Account, c *carrier, size int, p *passage) bool {
	l := a.Links()
	c.op.Subject = c.subject
	if l != nil && l.Mappings != nil {
		c.op.Subject = w.rewrite(&c.mapped, l, c.subject)
	}
	if w.arrives != nil {
		w.arrives.To, w.arrives = string(c.op.Subject), nil
	}
	w.crossed = true
	delivered := false
	if a.Index.Match(c.op.Subject, &w.result); !w.result.Empty() {
		w.prepare(&c.op)
		w.message.Size = size
		delivered = w.fanOut(from, &c.op)
		if len(w.routed) > 0 {
			w.forward(a, &c.op)
		}
	}
	w.crossed = false
	if l != nil && w.cross(from, a, l, &c.op, p) {
		delivered = true
	}
	return delivered
}
