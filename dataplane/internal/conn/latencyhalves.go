package conn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/share"
	"github.com/coveymq/covey/dataplane/internal/subject"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// A request that another broker's client answers is measured by both brokers, as
// among nats-servers. The subject for the answer ends with who measures and a
// mark, `_R_.<6>.<8>.<node>.T`; by that the broker of who answers knows that it is
// to say how long the service took, on a subject of the system account that ends
// with the node.

// Halves carries what brokers tell each other of requests that they measure.
type Halves interface {
	// PublishHalf sends what is known here of a request to the broker that asked.
	PublishHalf(node string, half any)
}

// half is what the broker of who answered tells the broker of who asked.
type half struct {
	Account string         `json:"account"`
	Request string         `json:"req_id"` // the subject of the answer
	Latency serviceLatency `json:"m2"`
}

const halfMark = ".T"

// Suffix ends the subject of an answer that is to be measured, so that another
// broker measures it, too.
func (s *sampling) Suffix() string {
	if s.host.Node == "" {
		return ""
	}
	return "." + s.host.Node + halfMark
}

// meet tells of an answer that came from another broker, as soon as that has told
// of it, too. Until then the answer lingers.
func (s *sampling) meet(a *account.Account, x *account.Answer, near *serviceLatency) {
	s.mu.Lock()
	far := s.far
	if far == nil {
		s.near = near
	}
	s.mu.Unlock()
	if far == nil {
		a.Linger(x)
		return
	}
	if a.Settle(x) {
		near.join(far)
		s.tell(near)
	}
}

// join adds what the other broker measured: how long the service took. What is
// left of the time that passed here was spent between the brokers.
func (l *serviceLatency) join(far *serviceLatency) {
	l.System = l.Service - far.Service
	if far.Responder != nil {
		l.System -= far.Responder.RTT
	}
	l.System, l.Service, l.Responder = max(0, l.System), max(0, far.Service), far.Responder
}

var errHalf = errors.New("no account, request or responder")

// Measured takes what another broker says of a request of a client of ours. One
// that is not known any more, or was never measured, is none of our business.
func (h *Host) Measured(text []byte) error {
	var told half
	if err := json.Unmarshal(text, &told); err != nil {
		return fmt.Errorf("latency of another broker: %w", err)
	}
	if told.Account == "" || told.Request == "" || told.Latency.Responder == nil {
		return fmt.Errorf("latency of another broker: %w", errHalf)
	}
	a := h.Accounts.Loaded(told.Account)
	if a == nil {
		return nil
	}
	x := a.Asked(told.Request)
	if x == nil {
		return nil
	}
	s, ok := x.Waiter.(*sampling)
	if !ok {
		return nil
	}
	s.mu.Lock()
	near := s.near
	if near == nil {
		s.far = &told.Latency
	}
	s.mu.Unlock()
	if near != nil && a.Finish(x) {
		near.join(&told.Latency)
		s.tell(near)
	}
	return nil
}

// owing is the requests that a client got from other brokers, which measure them,
// and has not answered. Clients that never had one have none.
type owing struct {
	mu   sync.Mutex
	open map[string]owed // by where the answer goes; guarded by mu, as is all below
	full int             // from how many on those that lapsed are looked for
	look time.Time       // when they may be, again
}

// owed is one of them.
type owed struct {
	account string
	at      time.Time
	until   time.Time // after which no answer is taken
}

const (
	owedMin = 64
	// owedMax bounds what a client is known to owe. Of more than that the other
	// broker tells only what it knows itself.
	owedMax = 1 << 14
	// owedLook is how often all are gone through at most.
	owedLook = time.Second
)

// measuredElsewhere reports whether an answer goes to a broker that measures.
func measuredElsewhere(reply []byte) bool {
	return bytes.HasSuffix(reply, []byte(halfMark)) && hasPrefix(reply, serviceReply)
}

// measures returns how to deliver a request that another broker measures: those
// who get it are noted. It is next itself for subjects that are no service.
func (w *worker) measures(a *account.Account, s []byte, next delivering) delivering {
	service := serviceOf(a, s)
	if service == nil || w.tracing.diverts() {
		return next
	}
	return func(from *egress.Conn, op *wire.Op, sub *interest.Sub) bool {
		c, ok := sub.Dst.Owner.(*Client)
		if !ok || sub.Shadow() != nil {
			return next(from, op, sub)
		}
		c.owes(a, op.Reply, service.AnswerWithin())
		if next(from, op, sub) {
			return true
		}
		c.owing.Load().take(op.Reply)
		return false
	}
}

// delivering stages a message for a subscription.
type delivering = func(*egress.Conn, *wire.Op, *interest.Sub) bool

// serviceOf returns the service of an account that a subject belongs to.
func serviceOf(a *account.Account, s []byte) *share.Export {
	terms := a.State().Terms
	if terms == nil {
		return nil
	}
	for i := range terms.Exports {
		if e := &terms.Exports[i]; e.Kind == share.Service && subject.MatchesLiteral(s, e.Subject) {
			return e
		}
	}
	return nil
}

// owes notes that the client is to answer a request.
func (c *Client) owes(a *account.Account, reply []byte, within time.Duration) {
	c.measure()
	o := c.owing.Load()
	if o == nil {
		c.owing.CompareAndSwap(nil, &owing{open: make(map[string]owed), full: owedMin})
		o = c.owing.Load()
	}
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.open) >= o.full && !now.Before(o.look) {
		maps.DeleteFunc(o.open, func(_ string, d owed) bool { return d.until.Before(now) })
		o.full, o.look = min(max(owedMin, 2*len(o.open)), owedMax), now.Add(owedLook)
	}
	if len(o.open) < owedMax {
		o.open[string(reply)] = owed{a.Key, now, now.Add(within)}
	}
}

// take returns what was owed on a subject, once.
func (o *owing) take(reply []byte) (owed, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d, ok := o.open[string(reply)]
	delete(o.open, string(reply))
	return d, ok
}

// answers tells the broker of who asked that the client answers, if that broker
// wants to know.
func (c *Client) answers(s []byte) {
	o := c.owing.Load()
	if o == nil || c.host.Halves == nil {
		return
	}
	d, ok := o.take(s)
	if !ok {
		return
	}
	took := time.Since(d.at)
	l := serviceLatency{Status: 200, Responder: c.host.infoOf(c, true), RequestStart: d.at.UTC(), Total: took}
	l.Service = max(0, took-l.Responder.RTT)
	node := bytes.TrimSuffix(s, []byte(halfMark))
	node = node[bytes.LastIndexByte(node, '.')+1:]
	c.host.Halves.PublishHalf(string(node), &half{d.account, string(s), l})
}
