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

// crossTraced is cross for a message that is traced. The trace ends where another
// account begins: which services it goes to is told, who is there is not.
func (w *worker) crossTraced(from *egress.Conn, a *account.Account, l *account.Links, t *tracing, op *wire.Op, p *passage) bool {
	if !w.inbound {
		for _, link := range l.ServicesFor(nil, op.Subject) {
			t.add(&TraceService{traceNow("si"), link.From.Key, string(op.Subject), string(link.AppendRemote(nil, op.Subject))})
		}
	}
	if t.only {
		return false
	}
	return w.crossNow(from, a, l, withHeader(op, traceDest, traceDisabled), p)
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
