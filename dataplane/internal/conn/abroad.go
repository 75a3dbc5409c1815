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

// crossTraced is cross for a message that is traced. Which services it goes to is
// told; who is there only if the exporter allows it, and is connected here: the
// account that is to get the events is known to no other broker. Nobody there is
// told where they go.
func (w *worker) crossTraced(from *egress.Conn, a *account.Account, l *account.Links, t *tracing, op *wire.Op, p *passage) bool {
	plain := withHeader(op, traceDest, traceDisabled)
	delivered := !t.only && w.answerTo(from, a, plain, p)
	if w.inbound {
		return delivered
	}
	for _, link := range l.ServicesFor(nil, op.Subject) {
		if p.through(link.Export) {
			continue
		}
		t.add(&TraceService{traceNow("si"), link.From.Key, string(op.Subject), w.arrivesAs(link, op.Subject)})
		next := &passage{link.Export, link, p}
		switch {
		case link.Export.AllowTrace:
			was := t.away
			w.tracing, t.away = t, true
			delivered = w.request(from, a, next, plain) || delivered
			w.tracing, t.away = nil, was
		case !t.only:
			delivered = w.request(from, a, next, plain) || delivered
		}
	}
	return delivered
}

// arrivesAs is the subject with which a request comes to whom it is for.
func (w *worker) arrivesAs(link *account.Link, subject []byte) string {
	to := link.AppendRemote(nil, subject)
	if l := link.From.Links(); l != nil && l.Mappings != nil {
		var room []byte // the worker's may hold the subject here
		to = w.rewrite(&room, l, to)
	}
	return string(to)
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
