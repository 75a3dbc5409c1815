package conn

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/subject"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Prefixes that servers use among themselves; clients may not publish there.
const (
	gatewayReply    = "_GR_."
	oldGatewayReply = "$GR."
	serviceReply    = "_R_."
	raftPrefix      = "$NRG."
	ackPrefix       = "$JS.ACK."
)

func hasPrefix(s []byte, prefix string) bool {
	return len(s) > len(prefix) && string(s[:len(prefix)]) == prefix
}

// publish handles PUB and HPUB.
func (c *Client) publish(w *worker, op *wire.Op) *account.Refusal {
	if op.Kind == wire.HPub && !c.connect.Headers {
		return headersOff
	}
	if c.connect.Pedantic && !subject.ValidLiteral(op.Subject) {
		c.complain(w, "Invalid Publish Subject")
	}
	if !c.mayPublish(w, op) {
		return nil
	}
	c.ok(w)
	w.messages++
	w.bytes += uint64(op.Size)
	acct := c.identity.Account
	acct.Index.Match(op.Subject, &w.result)
	delivered := false
	if !w.result.Empty() {
		w.prepare(op)
		delivered = c.fanOut(w, op)
	}
	if !delivered && len(op.Reply) > 0 && c.connect.NoResponders {
		c.noResponders(w, op)
	}
	return nil
}

// mayPublish checks the subject and the reply, and tells the client if they are
// not allowed.
func (c *Client) mayPublish(w *worker, op *wire.Op) bool {
	if reserved(op.Subject) && c.reservedSubject(op.Subject) {
		return c.publishViolation(w, op.Subject)
	}
	if p := c.perms.Load(); p != nil && !p.Publish(op.Subject) && (p.Responses() == nil || !c.mayReply(op.Subject)) {
		return c.publishViolation(w, op.Subject)
	}
	if reserved(op.Reply) && reservedReply(op.Reply) {
		c.complain(w, fmt.Sprintf("Permissions Violation for Publish with Reply of %q", op.Reply))
		return false
	}
	return true
}

// reserved reports whether a subject may have one of the prefixes above.
func reserved(s []byte) bool { return len(s) > 0 && (s[0] == '_' || s[0] == '$') }

func (c *Client) reservedSubject(s []byte) bool {
	return hasPrefix(s, gatewayReply) || hasPrefix(s, oldGatewayReply) ||
		hasPrefix(s, raftPrefix) && c.identity.Account.Key != c.host.SystemAccount
}

func reservedReply(r []byte) bool {
	return hasPrefix(r, serviceReply) || hasPrefix(r, gatewayReply) || hasPrefix(r, oldGatewayReply) || hasPrefix(r, ackPrefix)
}

func (c *Client) publishViolation(w *worker, subj []byte) bool {
	c.complain(w, fmt.Sprintf("Permissions Violation for Publish to %q", subj))
	c.host.Log.Debug("publish refused", "conn", c.id, "account", c.identity.Account.Key, "user", c.identity.User, "subject", string(subj))
	return false
}

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
		plain.HeaderLen, plain.Size, plain.Body = -1, op.Size-op.HeaderLen, op.Body[op.HeaderLen:]
		w.cut = plain.AppendTail(w.cut[:0])
		w.stripped = egress.Message{Subject: op.Subject, Tail: w.cut, Size: plain.Size}
	}
	return &w.stripped
}

// fanOut stages the message for every plain subscription and one member of each
// queue group. It reports whether anybody gets it.
func (c *Client) fanOut(w *worker, op *wire.Op) bool {
	delivered := false
	for i := range w.result.Plain() {
		subs := w.result.PlainAt(i)
		for j := range subs {
			if sub := subs[j].Load(); sub != nil && c.deliver(w, op, sub) {
				delivered = true
			}
		}
	}
	groups := w.result.Groups()
	for i := range groups {
		if groups[i].Pick(rand.Uint64(), func(sub *interest.Sub) bool { return c.deliver(w, op, sub) }) != nil { //nolint:gosec // a spread, not a secret
			delivered = true
		}
	}
	return delivered
}

// deliver stages the message for one subscription, unless something forbids it.
func (c *Client) deliver(w *worker, op *wire.Op, sub *interest.Sub) bool {
	m := &w.message
	if flags := sub.Dst.Flags.Load(); flags != 0 {
		if !c.passes(flags, op, sub) {
			return false
		}
		if flags&egress.NoHeaders != 0 && m.Headers {
			m = w.withoutHeaders(op)
		}
	}
	n := sub.Delivered.Add(1)
	if most := sub.Max.Load(); most > 0 && n >= most {
		if n > most {
			return false
		}
		owner(sub).exhausted(sub)
	}
	w.batch.Deliver(sub.Dst, m, sub.SID)
	return true
}

// owner returns the client that subscribed.
func owner(sub *interest.Sub) *Client {
	return sub.Dst.Owner.(*Client) //nolint:errcheck // all subscriptions are clients'
}

// passes checks the rare conditions of a delivery.
func (c *Client) passes(flags uint32, op *wire.Op, sub *interest.Sub) bool {
	if flags&egress.Closed != 0 || flags&egress.NoEcho != 0 && sub.Dst == c.out {
		return false
	}
	return flags&egress.Filtered == 0 || owner(sub).admit(op.Subject, sub.Queue, op.Reply)
}

// noResponders tells a requester at once that nobody will answer: a message
// with status 503 on its own subscription to the reply subject.
func (c *Client) noResponders(w *worker, op *wire.Op) {
	c.identity.Account.Index.Match(op.Reply, &w.replies)
	for i := range w.replies.Plain() {
		subs := w.replies.PlainAt(i)
		for j := range subs {
			sub := subs[j].Load()
			if sub == nil || sub.Dst != c.out {
				continue
			}
			w.batch.Status(c.out, noRespondersFrame(op, sub.SID))
			return
		}
	}
}

func noRespondersFrame(op *wire.Op, sid string) string {
	var b bytes.Buffer
	header := "NATS/1.0 503\r\nNats-Subject: " + string(op.Subject) + "\r\n\r\n"
	n := strconv.Itoa(len(header))
	b.WriteString("HMSG ")
	b.Write(op.Reply)
	b.WriteString(sid + n + " " + n + "\r\n" + header + "\r\n")
	return b.String()
}
