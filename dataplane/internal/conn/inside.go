package conn

import (
	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Publish sends a message of the broker itself to an account: to its clients and
// to other brokers that want it, though not to the broker's own inboxes. It
// waits for nobody. It reports whether anybody gets the message. If it answers a
// request that came through a service of the account, that is who asked.
//
// A header block, if there is one, is whole: from its first line to the empty
// one.
func (h *Host) Publish(a *account.Account, subject, reply string, header, body []byte) bool {
	w := getWorker(h)
	a.Index.Match([]byte(subject), &w.result)
	if w.result.Empty() {
		putWorker(w)
		return false
	}
	op := &wire.Op{Kind: wire.Pub, Subject: []byte(subject), HeaderLen: -1, Size: len(header) + len(body)}
	if reply != "" {
		op.Reply = []byte(reply)
	}
	if len(header) > 0 {
		op.Kind, op.HeaderLen = wire.HPub, len(header)
	}
	op.Body = make([]byte, 0, op.Size+len(wire.CRLF))
	op.Body = append(append(append(op.Body, header...), body...), wire.CRLF...)
	w.batch.Begin(nil)
	w.prepare(op)
	delivered := w.fanOut(&h.inside, op)
	if len(w.routed) > 0 {
		w.forward(a, op)
	}
	delivered = w.answerTo(&h.inside, a, op, nil) || delivered
	w.batch.Flush(nil)
	w.batch.Forget()
	putWorker(w) // not after a panic: half a batch of this account would be in it
	return delivered
}

// Wanted reports whether anybody would get what the broker itself publishes to a
// subject. It costs as much as finding out, and saves making the message.
func (h *Host) Wanted(a *account.Account, subject string) bool {
	w := getWorker(h)
	defer putWorker(w)
	a.Index.Match([]byte(subject), &w.result)
	if w.result.Empty() {
		return false
	}
	for i := range w.result.Plain() {
		subs := w.result.PlainAt(i)
		for j := range subs {
			if sub := subs[j].Load(); sub != nil && hears(sub) {
				return true
			}
		}
	}
	groups := w.result.Groups()
	for i := range groups {
		if groups[i].Pick(0, hears) != nil || groups[i].PickRemote(0, hears) != nil {
			return true
		}
	}
	return false
}

// Audience returns how many plain subscriptions, other brokers' and clients', are
// to a subject. Another broker has one for each of its subjects that match.
func (h *Host) Audience(a *account.Account, subject string) int {
	w := getWorker(h)
	defer putWorker(w)
	a.Index.Match([]byte(subject), &w.result)
	n := 0
	for i := range w.result.Plain() {
		subs := w.result.PlainAt(i)
		for j := range subs {
			if sub := subs[j].Load(); sub != nil && hears(sub) {
				n++
			}
		}
	}
	return n
}

// hears reports whether a subscription is not the broker's own.
func hears(sub *interest.Sub) bool { return sub.Dst.Flags.Load()&(egress.Internal|egress.Closed) == 0 }
