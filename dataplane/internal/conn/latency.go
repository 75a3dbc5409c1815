package conn

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// latencyType is the type of the event that tells of a request to a service.
const latencyType = "io.nats.server.metric.v1.service_latency"

// serviceLatency tells of a request to a service, in nats-server's form.
type serviceLatency struct {
	Type          string        `json:"type"`
	ID            string        `json:"id"`
	Time          time.Time     `json:"timestamp"`
	Status        int           `json:"status"`
	Error         string        `json:"description,omitempty"`
	Requestor     *clientInfo   `json:"requestor,omitempty"`
	Responder     *clientInfo   `json:"responder,omitempty"`
	RequestHeader http.Header   `json:"header,omitempty"`
	RequestStart  time.Time     `json:"start"`
	Service       time.Duration `json:"service"`
	System        time.Duration `json:"system"`
	Total         time.Duration `json:"total"`
}

// sampling is a request that is measured. Its methods do nothing for one that is
// not, which is nil.
type sampling struct {
	// Immutable.
	host   *Host
	link   *account.Link
	client *Client     // who asked
	header http.Header // because of which the request is measured

	mu        sync.Mutex
	near, far *serviceLatency // the halves of one that another broker's client answers; guarded by mu
}

// sample decides whether a request is measured.
func (w *worker) sample(from *egress.Conn, p *passage, op *wire.Op) *sampling {
	l := p.service.Latency
	if l == nil {
		return nil
	}
	client, _ := from.Owner.(*Client)
	if client == nil {
		return nil
	}
	client.measure()
	s := &sampling{host: w.host, link: p.link, client: client}
	if l.Percent >= 100 || rand.IntN(100) < l.Percent { //nolint:gosec // a sample, not a secret
		return s
	}
	if op.HeaderLen <= 0 {
		return nil
	}
	if s.header = traced(op.Body[:op.HeaderLen]); s.header == nil {
		return nil
	}
	return s
}

// measure finds out how far away a client is, if that is not known.
func (c *Client) measure() {
	if c.rtt.Load() == 0 && c.pingSent.CompareAndSwap(0, time.Now().UnixNano()) {
		c.pingsOut.Add(1)
		c.out.Control([]byte(wire.PingLine))
	}
}

// waiter is who hears that an answer comes no more.
func (s *sampling) waiter() account.Waiter {
	if s == nil {
		return nil
	}
	return s
}

// Lapsed tells that nobody answered in time; or what is known here of an answer
// whose broker has said nothing.
func (s *sampling) Lapsed(x *account.Answer) {
	s.settled(x)
	s.mu.Lock()
	near := s.near
	s.mu.Unlock()
	if near != nil {
		s.tell(near)
		return
	}
	s.failed(504, "Service Timeout", x.Asked)
}

// unavailable tells that there was nobody to answer.
func (s *sampling) unavailable(x *account.Answer) {
	if s != nil {
		s.settled(x)
		s.failed(503, "Service Unavailable", x.Asked)
	}
}

// badRequest tells of a request that cannot be answered.
func (s *sampling) badRequest() {
	if s != nil {
		s.failed(400, "Bad Request", time.Now())
	}
}

func (s *sampling) failed(status int, text string, asked time.Time) {
	l := &serviceLatency{Status: status, Error: text, Requestor: s.host.infoOf(s.client, s.link.Import.Share), RequestHeader: s.header}
	l.RequestStart = asked.Add(-l.Requestor.RTT).UTC()
	s.tell(l)
}

// answered prepares what is told of an answer: at its time, before it is
// delivered. It returns nil if the request is not measured.
func (w *worker) answered(from *egress.Conn, x *account.Answer) *measured {
	s, ok := x.Waiter.(*sampling)
	if !ok {
		return nil
	}
	m := &measured{sampling: s, at: time.Now(), beyond: from == &w.host.beyond && s.Suffix() != ""}
	m.responder, _ = from.Owner.(*Client)
	return m
}

// measured is a request that is being answered.
type measured struct {
	*sampling
	at        time.Time
	responder *Client // nil if it is not one of ours
	beyond    bool    // the answer came from another broker, which measures it, too
}

// given tells of the answer, now that it has gone on its way, and ends the right
// to it.
func (m *measured) given(a *account.Account, x *account.Answer) {
	if m.beyond {
		m.settled(x)
		m.meet(a, x, m.latency(x))
		return
	}
	if a.Settle(x) {
		m.settled(x)
		m.tell(m.latency(x))
	}
}

func (m *measured) latency(x *account.Answer) *serviceLatency {
	l := &serviceLatency{Status: http.StatusOK, Requestor: m.host.infoOf(m.client, m.link.Import.Share), RequestHeader: m.header}
	var there time.Duration
	if m.responder != nil {
		l.Responder = m.host.infoOf(m.responder, true)
		there = l.Responder.RTT
	}
	took := m.at.Sub(x.Asked)
	l.RequestStart = x.Asked.Add(-l.Requestor.RTT).UTC()
	l.Service, l.Total = max(0, took-there), l.Requestor.RTT+took
	if there > 0 {
		l.System = time.Since(m.at)
		l.Total += l.System
	}
	return l
}

func (s *sampling) tell(l *serviceLatency) {
	l.Type, l.ID, l.Time = latencyType, eventID(), time.Now().UTC()
	text, err := json.Marshal(l)
	if err != nil {
		s.host.Log.Error("the latency of a service cannot be told", "account", s.link.From.Key, "err", err)
		return
	}
	s.host.Publish(s.link.From, s.link.Export.Latency.Results, "", nil, text)
}

// eventID returns an id as nats-server's events have it.
func eventID() string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var id [22]byte
	for i := range id {
		id[i] = digits[rand.IntN(len(digits))] //nolint:gosec // a name, not a secret
	}
	return string(id[:])
}
