package conn

import (
	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// TraceService is a service of another account that the message goes to.
type TraceService struct {
	TraceEvent
	Account string `json:"acc"`
	From    string `json:"from"`
	To      string `json:"to"`
}

// TraceStream is another account that imports the message.
type TraceStream struct {
	TraceEvent
	Account string `json:"acc"`
	To      string `json:"to"`
}

// crossTraced is cross for a message that is traced. Which accounts it goes to is
// told. Whether the trace goes on there is the exporter's choice; nobody there, nor
// any other broker, is told where its events go: they have a subject of that
// account, as an answer has.
func (w *worker) crossTraced(from *egress.Conn, a *account.Account, l *account.Links, t *tracing, op *wire.Op, p *passage) bool {
	muted := withHeader(op, traceDest, traceDisabled)
	delivered := false
	if x := awaited(a, op, p); x != nil {
		w.enters(t, x.To, op, x.Reply)
		delivered = !t.only && w.answer(from, a, x, muted, p)
		w.arrives = nil
	}
	if w.inbound {
		return delivered
	}
	for _, link := range l.ServicesFor(nil, op.Subject) {
		if p.through(link.Export) {
			continue
		}
		w.enters(t, link.From, op, string(link.AppendRemote(nil, op.Subject)))
		next := &passage{link.Export, link, p}
		switch {
		case link.Export.AllowTrace:
			delivered = w.traceOn(from, a, t, op, next) || delivered
		case !t.only:
			delivered = w.request(from, a, next, muted) || delivered
		default: // nobody gets it, and where it would have gone is told
			if into := link.From.Links(); into != nil {
				var room []byte
				w.arrives.To = string(w.rewrite(&room, into, []byte(w.arrives.To)))
			}
		}
		w.arrives = nil
	}
	return delivered
}

// enters tells that the message goes into another account, with a subject that
// the account's mappings may change.
func (w *worker) enters(t *tracing, into *account.Account, op *wire.Op, to string) {
	w.arrives = &TraceService{traceNow("si"), into.Key, string(op.Subject), to}
	t.add(w.arrives)
}

// traceOn sends a request into an account whose part of its way is told, too, by
// other brokers as well if it goes to some.
func (w *worker) traceOn(from *egress.Conn, a *account.Account, t *tracing, op *wire.Op, p *passage) bool {
	x := p.link.From.ExpectTrace(a, t.dest, p.service)
	was, routes, hops := t.dest, t.routes, t.event.Hops
	w.tracing, t.dest, t.routes = t, x.Subject, nil
	delivered := w.request(from, a, p, withHeader(op, traceDest, x.Subject))
	w.tracing, t.dest, t.routes = nil, was, routes
	if t.event.Hops == hops {
		p.link.From.Finish(x) // nobody else tells anything
	}
	return delivered
}

// deliverAbroad is deliverShadow for a message that is traced: its trace tells
// which account imports it, and of the subscriber only if the importer allows it.
func (w *worker) deliverAbroad(from *egress.Conn, flags uint32, op *wire.Op, sub *interest.Shadow) bool {
	link, ok := sub.Local.(*account.Link)
	who := owner(sub.Of).shown.Load()
	if !ok || who == nil {
		return false
	}
	t := w.tracing
	t.add(&TraceStream{traceNow("se"), who.identity.Account.Key, string(link.AppendLocal(nil, op.Subject))})
	if t.only && !link.Import.AllowTrace {
		return true // nobody learns whether anybody is there
	}
	delivered := t.only || w.deliverShadow(from, flags, op, sub)
	if link.Import.AllowTrace {
		why := ""
		if !delivered {
			why = subDenies
		}
		t.reached(sub.Of, why)
	}
	return delivered
}
