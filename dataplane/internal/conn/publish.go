package conn

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/permission"
	"github.com/coveymq/covey/dataplane/internal/subject"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Prefixes that servers use among themselves; clients may not publish there.
const (
	gatewayReply    = "_GR_."
	oldGatewayReply = "$GR."
	serviceReply    = "_R_."
	raftPrefix      = "$NRG."
	brokersPrefix   = "$SYS.COVEY."
	ackPrefix       = "$JS.ACK."
	requestPrefix   = "$SYS.REQ."
)

func hasPrefix(s []byte, prefix string) bool {
	return len(s) > len(prefix) && string(s[:len(prefix)]) == prefix
}

// publish handles PUB and HPUB.
func (c *Client) publish(w *worker, op *wire.Op) *account.Refusal {
	if op.HeaderLen > 0 && wantsTrace(op.Body[:op.HeaderLen], c.identity.Account) {
		c.publishTraced(w, op)
		return nil
	}
	c.publishNow(w, op)
	return nil
}

// publishNow is publish for a message that may have headers.
func (c *Client) publishNow(w *worker, op *wire.Op) {
	c.pedantic(w, op)
	acct := c.identity.Account
	links := acct.Links()
	if links != nil {
		op.Subject = w.rewrite(&w.mapped, links, op.Subject)
		w.tracing.mapped(op.Subject)
	}
	if !c.find(w, op, acct.Index, links == nil) {
		return
	}
	c.ok(w)
	w.messages++
	w.bytes += uint64(op.Size)
	delivered := !w.tracing.diverts() && c.ask(op)
	if !w.result.Empty() {
		w.prepare(op)
		delivered = w.fanOut(c.out, op) || delivered
		if len(w.routed) > 0 {
			w.forward(acct, op)
		}
	}
	if links != nil {
		w.known = known{} // the subject may be rewritten in another way the next time
		w.passages = 0
		if delivered = w.cross(c.out, acct, links, op, nil) || delivered; w.passages > passagesMax {
			c.wentTooFar(w, op.Subject)
		}
	}
	if !delivered && len(op.Reply) > 0 && c.connect.NoResponders {
		c.noResponders(w, op)
	}
}

// pedantic complains, to who wants that, of a subject that is none to publish to,
// whatever becomes of the message.
func (c *Client) pedantic(w *worker, op *wire.Op) {
	if c.connect.Pedantic && !subject.ValidLiteral(op.Subject) {
		c.complain(w, "Invalid Publish Subject")
	}
}

// known is what it depends on that w.result is what a PUB finds whose line is that
// of the operation before, and that it is allowed. The zero value is for when it
// is not.
type known struct {
	index   *interest.Index
	version uint64
	perms   *permission.Set
}

// find puts into w.result who is to hear of a message, and reports whether it may
// be published. Again says that what is known of the operation before may hold.
func (c *Client) find(w *worker, op *wire.Op, index *interest.Index, again bool) bool {
	perms := c.perms.Load()
	now := known{index, index.Version(), perms}
	if again && w.known == now {
		return true
	}
	w.known = now
	if !c.mayPublish(w, op, perms) {
		return false
	}
	index.Match(op.Subject, &w.result)
	return true
}

// mayPublish checks the subject and the reply, and tells the client if they are
// not allowed. What is not allowed once and for all is forgotten again.
func (c *Client) mayPublish(w *worker, op *wire.Op, p *permission.Set) bool {
	if reserved(op.Subject) && c.reservedSubject(op.Subject) {
		return c.publishViolation(w, op.Subject)
	}
	if p != nil && !p.Publish(op.Subject) {
		w.known = known{}
		if p.Responses() == nil || !c.mayReply(op.Subject) {
			return c.publishViolation(w, op.Subject)
		}
	}
	if reserved(op.Reply) && reservedReply(op.Reply) {
		w.known = known{}
		c.denied.publishes.Add(1)
		text := fmt.Sprintf("Permissions Violation for Publish with Reply of %q", op.Reply)
		c.complain(w, text)
		w.tracing.refused(text)
		return false
	}
	if reserved(op.Subject) {
		c.answers(op.Subject)
	}
	return true
}

// reserved reports whether a subject may have one of the prefixes above.
func reserved(s []byte) bool { return len(s) > 0 && (s[0] == '_' || s[0] == '$') }

func (c *Client) reservedSubject(s []byte) bool {
	return hasPrefix(s, gatewayReply) || hasPrefix(s, oldGatewayReply) ||
		hasPrefix(s, raftPrefix) && c.identity.Account.Key != c.host.SystemAccount ||
		hasPrefix(s, brokersPrefix) && c.identity.Account.Key == c.host.SystemAccount
}

func reservedReply(r []byte) bool {
	return hasPrefix(r, serviceReply) || hasPrefix(r, gatewayReply) || hasPrefix(r, oldGatewayReply) || hasPrefix(r, ackPrefix)
}

func (c *Client) publishViolation(w *worker, subj []byte) bool {
	w.known = known{}
	c.denied.publishes.Add(1)
	text := fmt.Sprintf("Permissions Violation for Publish to %q", subj)
	c.complain(w, text)
	w.tracing.refused(text)
	c.host.Log.Debug("publish refused", "conn", c.id, "account", c.identity.Account.Key, "user", c.identity.User, "subject", string(subj))
	return false
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
			w.batch.Status(c.out, noRespondersFrame(op, sub.Frame()))
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
