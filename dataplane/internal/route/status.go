package route

import (
	"encoding/json"
	"net/netip"
	"slices"
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
	Compression                                string
	// Import and Export are what the peer says that it lets in and out; nil for
	// all.
	Import, Export *Subjects
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
	if mode := l.compression.Load(); mode != nil {
		s.Compression = *mode
	}
	says := l.says.Load()
	if says == nil {
		says = &l.remote
	}
	s.Import, s.Export = subjectsOf(says.Import), subjectsOf(says.Export)
	if at, err := netip.ParseAddrPort(l.nc.RemoteAddr().String()); err == nil {
		s.IP, s.Port = at.Addr().Unmap().String(), int(at.Port())
	}
	return s
}

// subjectsOf reads what a peer says of its permissions; nil if it says nothing.
func subjectsOf(b json.RawMessage) *Subjects {
	var s *Subjects
	if len(b) == 0 || json.Unmarshal(b, &s) != nil {
		return nil
	}
	return s
}

// Permissions returns what may cross routes.
func (m *Mesh) Permissions() Permissions { return m.config().Permissions }

// Whole returns to how many peers all connections stand.
func (m *Mesh) Whole() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.config()
	for _, p := range m.peers {
		want := 1
		if size := max(c.PoolSize, p.info.PoolSize); c.PoolSize > 0 && p.info.PoolSize > 0 {
			want = size + len(c.Accounts)
			if c.SystemAccount != "" {
				want++
			}
		}
		if len(p.links) >= want {
			n++
		}
	}
	return n
}

// Has reports whether there is a link to a peer.
func (m *Mesh) Has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peers[id] != nil
}

// Kin returns the peers that are of our kind, in order.
func (m *Mesh) Kin() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []string
	for id, p := range m.peers {
		if p.info.Covey {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
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
