package route

import (
	"net/netip"
	"time"
)

// Status is a snapshot of one link, for monitoring.
type Status struct {
	ID                                         uint64
	RemoteID, RemoteName                       string
	Solicited, Configured                      bool
	IP                                         string
	Port                                       int
	Start, LastActivity                        time.Time
	RTT                                        time.Duration
	PendingBytes                               int64
	InMessages, InBytes, OutMessages, OutBytes uint64
	Subscriptions                              []Subscription
	SubscriptionCount                          int64
	Account                                    string
}

// Subscription is what a peer is interested in.
type Subscription struct{ Account, Subject, Queue string }

// Status returns a snapshot of every link that stands, with the subjects that
// its peer wants if details are asked for.
func (m *Mesh) Status(details bool) []Status {
	m.mu.Lock()
	var links []*link
	for _, p := range m.peers {
		for _, l := range p.links {
			links = append(links, l)
		}
	}
	tenants := make([]*tenant, 0, len(m.tenants))
	if details {
		for _, t := range m.tenants {
			tenants = append(tenants, t)
		}
	}
	m.mu.Unlock()
	out := make([]Status, 0, len(links))
	for _, l := range links {
		s := l.status()
		for _, t := range tenants {
			for _, w := range t.wants(l) {
				s.Subscriptions = append(s.Subscriptions, Subscription{t.key, w.subject, w.queue})
			}
		}
		out = append(out, s)
	}
	return out
}

func (l *link) status() Status {
	s := Status{
		ID: l.id, RemoteID: l.remote.ID, RemoteName: l.remote.Name, Account: l.slot.account,
		Solicited: l.solicited() || l.upgraded.Load(), Configured: l.explicit(), Start: l.start, LastActivity: time.Unix(0, l.lastIn.Load()),
		RTT: time.Duration(l.rtt.Load()), PendingBytes: l.out.Pending(), SubscriptionCount: l.wantCount.Load(),
		InMessages: l.inMsgs.Load(), InBytes: l.inBytes.Load(),
		OutMessages: l.out.OutMessages.Load(), OutBytes: l.out.OutBytes.Load(),
	}
	if at, err := netip.ParseAddrPort(l.nc.RemoteAddr().String()); err == nil {
		s.IP, s.Port = at.Addr().Unmap().String(), int(at.Port())
	}
	return s
}

// Count returns how many links stand, and to how many peers.
func (m *Mesh) Count() (links, peers int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		links += len(p.links)
	}
	return links, len(m.peers)
}
