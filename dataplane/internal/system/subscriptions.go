package system

import (
	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/monitor"
)

// subscription is one subject that we listen to in the system account.
type subscription struct {
	subject string
	inbox   *conn.Inbox
	handle  func(*conn.Message)
	queue   string
	here    bool // only our own clients' messages
}

func (sub *subscription) in(a *account.Account) (*conn.Internal, error) {
	if sub.here {
		return sub.inbox.SubscribeHere(a, sub.subject, sub.handle)
	}
	return sub.inbox.Subscribe(a, sub.subject, sub.queue, sub.handle)
}

// subscriptions returns all of them.
func (s *Service) subscriptions() []subscription {
	var all []subscription
	on := func(in *conn.Inbox, subject string, handle func(*conn.Message)) {
		all = append(all, subscription{subject: subject, inbox: in, handle: handle})
	}
	// both are a request to one server and the same to all of them.
	both := func(in *conn.Inbox, name string, handle func(*conn.Message)) {
		on(in, "$SYS.REQ.SERVER."+s.cfg.ID+"."+name, handle)
		on(in, "$SYS.REQ.SERVER.PING."+name, handle)
	}
	on(s.pings, "$SYS.REQ.SERVER.PING", s.statsz)
	both(s.pings, "STATSZ", s.statsz)
	both(s.pings, "IDZ", s.idz)
	both(s.queries, "PROFILEZ", s.profilez)
	for _, name := range monitor.Names() {
		both(s.queries, name, s.monitorz(name))
	}
	for name, a := range s.accountAnswers() {
		on(s.queries, "$SYS.REQ.ACCOUNT.*."+name, func(m *conn.Message) { s.serve(m, a) })
	}
	on(s.queries, "$SYS.REQ.ACCOUNT.*.CONNS", s.conns)
	on(s.pings, "$SYS.ACCOUNT.*.SERVER.CONNS", s.elsewhere)
	on(s.pings, "$SYS.SERVER.*.SHUTDOWN", s.gone)
	on(s.queries, "$SYS.REQ.ACCOUNT.PING.STATZ", func(m *conn.Message) { s.serve(m, s.allStatz) })
	on(s.queries, subscriberCount, s.nsubs)
	on(s.queries, "$SYS.REQ.SERVER."+s.cfg.ID+".RELOAD", s.reload)
	on(s.queries, "$SYS.REQ.SERVER."+s.cfg.ID+".KICK", s.kick)
	on(s.queries, "$SYS.REQ.SERVER."+s.cfg.ID+".LDM", s.lameDuckClient)
	on(s.pings, s.inbox("*"), s.asks.answered)
	on(s.halves, halfSubject+s.Node(), s.hearHalf)
	if s.cfg.Kin != nil {
		on(s.pings, ratesSubject, s.hearRates)
	}
	s.claimSubscriptions(on)
	if s.cfg.Full {
		on(s.packs, s.packInbox(), s.merge)
		all = append(all, subscription{subject: packRequest, inbox: s.queries, handle: s.pack, queue: "responder"})
	}
	all = append(all, subscription{subject: "$SYS.DEBUG.SUBSCRIBERS", inbox: s.queries, handle: s.subscribers, here: true})
	return all
}
