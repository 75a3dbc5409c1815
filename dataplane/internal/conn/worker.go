package conn

import (
	"sync"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/limit"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// worker is what a reader needs while it works on a batch, and only then.
type worker struct {
	host     *Host
	batch    egress.Batch
	result   interest.Result
	replies  interest.Result // for a second look-up while result is in use
	message  egress.Message
	stripped egress.Message // message without its headers
	scratch  []byte         // for a tail that had to be rewritten
	cut      []byte         // for a stripped tail
	routed   []routed       // the routes that get the message in hand
	head     []byte         // for the line of a message on a route
	mapped   []byte         // for a subject that was rewritten
	local    []byte         // for the subject of an imported stream
	crossed  bool           // the message in hand came through a service import
	inbound  bool           // it came over a route

	services []*account.Link // that the message in hand matches, and those before it on its way
	carriers []*carrier
	carried  int // how many of carriers are in use
	passages int // the services that the message in hand went through

	// Of the batch.
	messages, bytes uint64
	spent           int         // work done since the last turn, see turn.Quantum
	until           int         // how much of it until goOn is to be asked
	trace           *Tracing    // nil unless operations are logged
	gate            *limit.Gate // what limits who is read; nil for nothing
	now             time.Time   // zero until somebody asks, see clock
	owed            time.Duration
	refused         uint64 // messages
	refusal         limit.Verdict
	refusedSubject  []byte // of the first of them

	known known // of the line of the operation before

	tracing *tracing      // of the message in hand; nil unless its header asks for it
	arrives *TraceService // what its trace says of the account that it is about to enter; nil for nothing
}

var workers sync.Pool //nolint:gochecknoglobals // a pool is shared by nature

func getWorker(h *Host) *worker {
	w, ok := workers.Get().(*worker)
	if !ok {
		w = &worker{}
	}
	w.host, w.now, w.until = h, time.Time{}, briefWork
	return w
}

// scratchKeep is the largest scratch that a pooled worker keeps.
const scratchKeep = 64 << 10

func putWorker(w *worker) {
	w.host, w.tracing, w.arrives, w.crossed, w.inbound = nil, nil, nil, false, false
	w.message, w.stripped = egress.Message{}, egress.Message{}
	w.gate, w.spent, w.known = nil, 0, known{}
	if cap(w.scratch) > scratchKeep {
		w.scratch = nil
	}
	if cap(w.cut) > scratchKeep {
		w.cut = nil
	}
	for _, c := range w.carriers {
		if cap(c.body) > scratchKeep {
			c.body = nil
		}
		c.op = wire.Op{}
	}
	workers.Put(w)
}
