package conn

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/subject"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Header fields of message tracing, by nats-server's names.
const (
	traceDest     = "Nats-Trace-Dest"
	traceOnly     = "Nats-Trace-Only"
	traceHop      = "Nats-Trace-Hop"
	traceOrigin   = "Nats-Trace-Origin-Account"
	traceParent   = "traceparent"
	traceDisabled = "trace disabled" // as a destination: nobody is to trace the message any more
)

// Kinds of connections in trace events.
const (
	kindClient = 0
	kindRouter = 1
)

// MessageTrace is what became of one message in one broker: the event of
// nats-server's message tracing.
type MessageTrace struct {
	Server  any          `json:"server"`
	Request TraceRequest `json:"request"`
	Hops    int          `json:"hops,omitempty"`
	Events  []any        `json:"events"`
}

// TraceRequest is the message.
type TraceRequest struct {
	Header map[string][]string `json:"header,omitempty"`
	Size   int                 `json:"msgsize,omitempty"`
}

// TraceEvent begins each event.
type TraceEvent struct {
	Type string    `json:"type"`
	At   time.Time `json:"ts"`
}

// TraceIngress is how the message came in.
type TraceIngress struct {
	TraceEvent
	Kind    int    `json:"kind"`
	CID     uint64 `json:"cid"`
	Name    string `json:"name,omitempty"`
	Account string `json:"acc"`
	Subject string `json:"subj"`
	Error   string `json:"error,omitempty"`
}

// TraceMapping is a change of its subject.
type TraceMapping struct {
	TraceEvent
	To string `json:"to"`
}

// TraceEgress is one destination.
type TraceEgress struct {
	TraceEvent
	Kind         int    `json:"kind"`
	CID          uint64 `json:"cid"`
	Name         string `json:"name,omitempty"`
	Hop          string `json:"hop,omitempty"`
	Account      string `json:"acc,omitempty"`
	Subscription string `json:"sub,omitempty"`
	Queue        string `json:"queue,omitempty"`
	Error        string `json:"error,omitempty"`
}

// Why a message did not reach a destination, in nats-server's words.
const (
	untracedOnly = "Not delivered because remote does not support message tracing"
	untraced     = "Message delivered but remote does not support message tracing so no trace event generated from there"
	notEchoed    = "Not delivered because of no echo"
	subDenies    = "Not delivered because subscription denies this subject"
	clientGone   = "Not delivered because client is closed"
	notStalled   = "Not delivered because fast producer not stalled and consumer is slow"
	autoExceeded = "Not delivered because auto-unsubscribe exceeded"
)

// Tracer publishes what became of messages that are traced.
type Tracer interface {
	// PublishTrace sends an event to a subject of an account, encoded as accept, the
	// value of Accept-Encoding, allows. It sets who the server is.
	PublishTrace(a *account.Account, dest, accept string, event *MessageTrace)
}

// Peer is the owner of a route, as trace events tell of it.
type Peer interface {
	// TracePeer returns the route's number and the other broker's name, and whether
	// that traces messages too.
	TracePeer() (id uint64, name string, traces bool)
}

// tracing is the trace of the message in hand.
type tracing struct {
	event        MessageTrace
	dest, accept string
	only         bool   // the message goes nowhere
	hop          string // how it came to this broker; empty at the first one
	in           *TraceIngress
	routes       []tracedRoute // those that have an event in the account where the message is
}

// tracedRoute is a route that gets the message, and the hop it is told.
type tracedRoute struct {
	dst *egress.Conn
	hop string // empty if the other broker does not trace
}

func (t *tracing) add(event any) { t.event.Events = append(t.event.Events, event) }

// mapped notes that the message has another subject now.
func (t *tracing) mapped(to []byte) {
	if t != nil && t.in.Subject != string(to) {
		t.add(&TraceMapping{traceNow("sm"), string(to)})
	}
}

// refused notes that the message goes nowhere, and why.
func (t *tracing) refused(why string) {
	if t != nil {
		t.in.Error = why
	}
}

// diverts reports whether the message is traced and nothing else.
func (t *tracing) diverts() bool { return t != nil && t.only }

func traceNow(kind string) TraceEvent { return TraceEvent{Type: kind, At: time.Now().UTC()} }

// wantsTrace reports whether a header block may ask for tracing. It is what every
// message with headers pays for the feature.
func wantsTrace(header []byte, a *account.Account) bool {
	return bytes.Contains(header, []byte(traceDest)) || a.State().Tracing != nil && containsFold(header, traceParent)
}

func containsFold(b []byte, s string) bool {
	for i := 0; i+len(s) <= len(b); i++ {
		if b[i]|0x20 == s[0] && strings.EqualFold(string(b[i:i+len(s)]), s) {
			return true
		}
	}
	return false
}

// traceHeader is a header block as tracing sees it.
type traceHeader struct {
	fields  map[string][]string // names as they were written
	dest    bool                // it names a destination
	sampled bool                // a traceparent says that the caller samples it
}

func (h *traceHeader) first(name string) string {
	if v := h.fields[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// parseTraceHeader reads a header block; false if it asks for nothing.
func parseTraceHeader(b []byte) (h traceHeader, ok bool) {
	lines, found := bytes.CutPrefix(b, []byte("NATS/1.0\r\n"))
	if !found {
		return h, false
	}
	h.fields = make(map[string][]string)
	for {
		line, rest, more := bytes.Cut(lines, []byte(wire.CRLF))
		name, value, colon := bytes.Cut(line, []byte{':'})
		value = bytes.Trim(value, " \t")
		if !more || !colon {
			break
		}
		lines = rest
		if len(name) == 0 || len(value) == 0 {
			continue
		}
		switch key := string(name); {
		case key == traceDest && string(value) == traceDisabled:
			return h, false
		case key == traceDest:
			h.dest = true
		case strings.EqualFold(key, traceParent):
			h.sampled = h.sampled || sampled(string(value))
		}
		h.fields[string(name)] = append(h.fields[string(name)], string(value))
	}
	return h, h.dest || h.sampled
}

// sampled reports whether a W3C traceparent has the flag of that name.
func sampled(value string) bool {
	parts := strings.Split(value, "-")
	if len(parts) != 4 || len(parts[3]) != 2 {
		return false
	}
	flags, err := strconv.ParseUint(parts[3], 16, 8)
	return err == nil && flags&1 == 1
}

// verdict is what to do with a message that asks for tracing.
type verdict uint8

const (
	traceIt  verdict = iota
	leaveIt          // it goes on without
	dropIt           // it was to be traced only, and cannot be
	muteIt           // it goes on, and nobody after us is to trace it either
	refuseIt         // whoever sent it may not publish to the destination
)

// beginTrace decides about the message in hand.
func (h *Host) beginTrace(op *wire.Op, a *account.Account, kind int) (*tracing, verdict) {
	header, ok := parseTraceHeader(op.Body[:op.HeaderLen])
	if !ok || h.Tracer == nil {
		return nil, leaveIt
	}
	t := &tracing{accept: header.first("Accept-Encoding")}
	v := h.destination(t, &header, a, kind)
	if v != traceIt {
		return nil, v
	}
	if !subject.ValidLiteral([]byte(t.dest)) {
		h.Log.Error("a message cannot be traced: its trace destination is not a subject", "account", a.Key)
		if t.only {
			return nil, dropIt
		}
		return nil, leaveIt
	}
	if kind != kindClient {
		t.hop = header.first(traceHop)
	}
	t.event.Request = TraceRequest{Header: header.fields, Size: op.Size}
	return t, traceIt
}

// destination sets where the trace goes, by the header or by the account.
func (h *Host) destination(t *tracing, header *traceHeader, a *account.Account, kind int) verdict {
	if !header.dest {
		set := a.State().Tracing
		switch {
		case set == nil:
			return leaveIt
		case kind == kindClient && set.Sampling < 100 && rand.IntN(100) >= set.Sampling: //nolint:gosec // a sample, not a secret
			return muteIt
		}
		t.dest = set.Dest
		return traceIt
	}
	t.dest = header.first(traceDest)
	switch strings.ToLower(header.first(traceOnly)) {
	case "1", "true", "on":
		t.only = true
	}
	switch {
	case header.first(traceOrigin) == "":
		return traceIt
	case t.only:
		return dropIt
	}
	return muteIt
}

// publishTraced is publish for a message that may ask for tracing.
func (c *Client) publishTraced(w *worker, op *wire.Op) {
	a := c.identity.Account
	t, v := c.host.beginTrace(op, a, kindClient)
	if v == traceIt && !c.mayTrace(t.dest) {
		v = refuseIt
	}
	switch v {
	case dropIt:
		return
	case refuseIt:
		c.publishViolation(w, []byte(t.dest))
		return
	case muteIt:
		op = withHeader(op, traceDest, traceDisabled)
	case traceIt:
		who := c.shown.Load()
		t.in = &TraceIngress{TraceEvent: traceNow("in"), Kind: kindClient, CID: c.id, Name: who.name, Account: a.Key, Subject: string(op.Subject)}
		t.add(t.in)
		w.tracing = t
		defer func() { w.tracing = nil }()
	case leaveIt:
	}
	c.publishNow(w, op)
	if w.tracing != nil {
		w.tracing = nil
		c.host.Tracer.PublishTrace(a, t.dest, t.accept, &t.event)
	}
}

func (c *Client) mayTrace(dest string) bool {
	b := []byte(dest)
	return c.perms.Load().Publish(b) && (!reserved(b) || !c.reservedSubject(b))
}

// fanOutTraced is fanOut for a message that is traced.
func (w *worker) fanOutTraced(from *egress.Conn, op *wire.Op) bool {
	delivered := false
	for i := range w.result.Plain() {
		subs := w.result.PlainAt(i)
		for j := range subs {
			if sub := subs[j].Load(); sub != nil && w.deliverTraced(from, op, sub) {
				delivered = true
			}
		}
	}
	groups := w.result.Groups()
	for i := range groups {
		random := rand.Uint64() //nolint:gosec // a spread, not a secret
		local := func(sub *interest.Sub) bool { return w.deliverTraced(from, op, sub) }
		remote := func(sub *interest.Sub) bool { return w.routeTraced(op, sub, true) }
		if groups[i].Pick(random, local) != nil || groups[i].PickRemote(random, remote) != nil {
			delivered = true
		}
	}
	return delivered
}

// deliverTraced is deliver for a message that is traced.
func (w *worker) deliverTraced(from *egress.Conn, op *wire.Op, sub *interest.Sub) bool {
	flags := sub.Dst.Flags.Load()
	switch {
	case flags&egress.Routed != 0:
		return from != nil && w.routeTraced(op, sub, false)
	case flags&egress.Internal != 0:
		return !w.tracing.only && take(from, flags, op, sub)
	case flags&egress.Importing != 0 && sub.Shadow() != nil:
		return w.deliverAbroad(from, flags, op, sub.Shadow())
	}
	why := ""
	switch {
	case flags&egress.Closed != 0:
		why = clientGone
	case flags&egress.NoEcho != 0 && sub.Dst == from:
		why = notEchoed
	case flags&egress.Filtered != 0 && !owner(sub).perms.Load().Deliver(op.Subject, sub.Queue()):
		why = subDenies
	case skipped(from, flags):
		why = notStalled
		owner(sub).shedDelivery(w.message.Size)
	case !w.tracing.only && !w.deliver(from, op, sub):
		why = autoExceeded
	}
	w.tracing.reached(sub, why)
	return why == ""
}

// reached notes a client that was to get the message.
func (t *tracing) reached(sub *interest.Sub, why string) {
	c := owner(sub)
	e := &TraceEgress{TraceEvent: traceNow("eg"), Kind: kindClient, CID: c.id, Subscription: sub.Subject(), Queue: sub.Queue(), Error: why}
	if who := c.shown.Load(); who != nil {
		e.Name = who.name
		if key := who.identity.Account.Key; key != t.in.Account {
			e.Account = key
		}
	}
	t.add(e)
}

// routeTraced notes that a route gets the message, and tells of it once. Choose
// says that the other broker is to choose a member of a queue group.
func (w *worker) routeTraced(op *wire.Op, sub *interest.Sub, choose bool) bool {
	flags := sub.Dst.Flags.Load()
	if !takes(sub.Dst, flags, op) {
		return false
	}
	peer, ok := sub.Dst.Owner.(Peer)
	if !ok {
		return false
	}
	id, name, traces := peer.TracePeer()
	t := w.tracing
	known := false
	for _, r := range t.routes {
		known = known || r.dst == sub.Dst
	}
	if !known {
		e := &TraceEgress{TraceEvent: traceNow("eg"), Kind: kindRouter, CID: id, Name: name}
		switch {
		case traces:
			t.event.Hops++
			e.Hop = t.nextHop()
		case t.only:
			e.Error = untracedOnly
		default:
			e.Error = untraced
		}
		t.add(e)
		t.routes = append(t.routes, tracedRoute{sub.Dst, e.Hop})
	}
	if t.only && !traces {
		return false
	}
	if choose {
		return w.routeQueue(op, sub)
	}
	w.routeTo(sub.Dst, flags)
	return true
}

func (t *tracing) nextHop() string {
	n := strconv.Itoa(t.event.Hops)
	if t.hop == "" {
		return n
	}
	return t.hop + "." + n
}

// forwardTraced is forward for a message that is traced: each broker that traces
// is told its place.
func (w *worker) forwardTraced(acct *account.Account, op *wire.Op) {
	t, all := w.tracing, w.routed
	w.tracing = nil
	for i := range all {
		next := op
		for _, r := range t.routes {
			if r.dst == all[i].dst && r.hop != "" {
				next = withHeader(op, traceHop, r.hop)
			}
		}
		w.routed = all[i : i+1]
		w.prepare(next)
		w.forward(acct, next)
	}
	w.routed, w.tracing = all[:0], t
}

// withHeader returns a message with a field set in its header block.
func withHeader(op *wire.Op, name, value string) *wire.Op {
	next := *op
	line := name + ": " + value + wire.CRLF
	var header []byte
	set := false
	for l := range bytes.Lines(op.Body[:op.HeaderLen]) {
		if field, _, ok := bytes.Cut(l, []byte{':'}); !set && ok && string(field) == name {
			continue
		}
		if !set && string(l) == wire.CRLF { // the end of the fields
			header, set = append(header, line...), true
		}
		header = append(header, l...)
	}
	next.Resize(len(header), append(header, op.Body[op.HeaderLen:]...))
	return &next
}

// deliverTraced delivers a message of another broker that asks for tracing, and
// returns how many got it; false if it does not ask after all.
func (in *Inbound) deliverTraced(a *account.Account, op *wire.Op, queues [][]byte, peer Peer) (deliveries int, done bool) {
	w := in.w
	h := w.host
	t, v := h.beginTrace(op, a, kindRouter)
	if v != traceIt {
		return 0, v == dropIt
	}
	id, name, _ := peer.TracePeer()
	t.in = &TraceIngress{TraceEvent: traceNow("in"), Kind: kindRouter, CID: id, Name: name, Account: a.Key, Subject: string(op.Subject)}
	t.add(t.in)
	w.tracing = t
	deliveries = in.deliver(a, op, queues)
	w.tracing = nil
	h.Tracer.PublishTrace(a, t.dest, t.accept, &t.event)
	return deliveries, true
}
