package route

import (
	"context"
	"time"

	"github.com/coveymq/covey/dataplane/internal/subject"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// operate handles the operation that was parsed.
func (l *link) operate() *ending {
	op := &l.parser.Op
	switch op.Kind {
	case wire.Info:
		if !l.solicited() && !l.connected {
			return notYet
		}
		return l.processInfo(op.Arg)
	case wire.Connect:
		return l.processConnect(op.Arg)
	case wire.Ping:
		l.out.Control([]byte(wire.PongLine))
		return nil
	case wire.Err:
		l.config.Log.Warn("a peer complains", "rid", l.id, "peer", l.remote.ID, "account", l.slot.account, "error", string(op.Arg))
		return peerErr
	case wire.AccountSub, wire.AccountUnsub:
		l.heldBack(op.Arg, op.Kind == wire.AccountUnsub)
		return nil
	case wire.OK:
		return nil
	default:
	}
	if !l.registered {
		if !l.known || !l.solicited() {
			return notYet
		}
		if e := l.establish(); e != nil {
			return e
		}
	}
	return l.traffic(op)
}

// traffic handles what comes over a link that stands.
func (l *link) traffic(op *wire.Op) *ending {
	switch op.Kind {
	case wire.RouteMsg:
		if !l.allowed.Load().Publish(op.Subject) {
			return nil // not to be imported, whatever the peer sends
		}
		l.message(op, l.frame)
	case wire.RouteSub:
		return l.subscribe(op.Arg)
	case wire.RouteUnsub:
		return l.unsubscribe(op.Arg)
	case wire.Pong:
		l.pong()
	case wire.LeafSub, wire.LeafUnsub:
		return leafInterest
	default:
		return badOperation
	}
	return nil
}

// interest reads the arguments of RS+ and RS-.
func (l *link) interest(arg []byte) (t *tenant, w want, rest [][]byte, ok bool) {
	var f [4][]byte
	n := wire.Args(arg, f[:])
	if n > len(f) {
		return nil, want{}, nil, false
	}
	args := f[:n]
	var acct []byte
	if l.slot.account == "" && n > 0 {
		acct, args = args[0], args[1:]
	}
	if len(args) == 0 || !subject.Valid(args[0]) {
		return nil, want{}, nil, false
	}
	w.subject = string(args[0])
	if len(args) > 1 {
		w.queue = string(args[1])
	}
	return l.arrival(acct).tenant, w, args[min(len(args), 2):], true
}

func (l *link) subscribe(arg []byte) *ending {
	t, w, rest, ok := l.interest(arg)
	if !ok || (w.queue == "") != (len(rest) == 0) {
		return badLine
	}
	weight := int32(1)
	if w.queue != "" {
		weight = int32(max(wire.ParseSize(rest[0]), 1)) //nolint:gosec // at most nine digits
	}
	if t.add(l, w, weight) {
		l.wantCount.Add(1)
	}
	return nil
}

func (l *link) unsubscribe(arg []byte) *ending {
	t, w, rest, ok := l.interest(arg)
	if !ok || len(rest) > 0 {
		return badLine
	}
	if t.remove(l, w) {
		l.wantCount.Add(-1)
	}
	return nil
}

func (l *link) pong() {
	l.pingsOut.Store(0)
	if sent := l.pingSent.Swap(0); sent != 0 {
		rtt := max(1, time.Now().UnixNano()-sent)
		l.rtt.Store(rtt)
		l.adapt(time.Duration(rtt))
	}
}

// keepAlive sends PINGs and gives the link up when they are not answered.
func (l *link) keepAlive(ctx context.Context) error {
	t := time.NewTimer(firstPing)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.done:
			return nil
		case <-t.C:
		}
		if l.pingsOut.Load() >= int32(l.config.PingMax) {
			l.end(staleLink)
			return nil
		}
		l.pingsOut.Add(1)
		l.pingSent.Store(time.Now().UnixNano())
		l.out.Control([]byte(wire.PingLine))
		t.Reset(l.config.PingInterval)
	}
}
