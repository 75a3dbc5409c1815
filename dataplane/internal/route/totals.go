package route

import (
	"net"
	"strconv"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// Totals are sums over all links, past and present. They never fall.
type Totals struct {
	account.Traffic
	Slow, Stale uint64 // links given up because the peer was too slow, or silent
}

// Totals returns what went over all links so far.
func (m *Mesh) Totals() Totals {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := m.past
	for l := range m.counted {
		sum.Add(l.carried())
	}
	return sum
}

// retire keeps what a link counted that is over, for whatever reason.
func (m *Mesh) retire(l *link, why *ending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.counted, l)
	m.past.Add(l.carried())
	switch why {
	case slowPeer:
		m.past.Slow++
	case staleLink:
		m.past.Stale++
	}
}

func (l *link) carried() account.Traffic {
	return account.Traffic{
		InMessages: l.inMsgs.Load(), InBytes: l.inBytes.Load(),
		OutMessages: l.out.OutMessages.Load(), OutBytes: l.out.OutBytes.Load(),
	}
}

// count counts the messages of a batch, the link's and each account's.
func (l *link) count() {
	if l.messages == 0 {
		return
	}
	l.inMsgs.Add(l.messages)
	l.inBytes.Add(l.bytes)
	l.messages, l.bytes = 0, 0
	for i, a := range l.met {
		if acct := a.tenant.live.Load(); acct != nil {
			acct.Routed.Received.Add(a.inMsgs, a.inBytes)
		}
		a.inMsgs, a.inBytes = 0, 0
		l.met[i] = nil
	}
	l.met = l.met[:0]
}

// Listening is where a broker is in its cluster, for monitoring.
type Listening struct {
	Name, Host    string
	Port          int
	AuthTimeout   time.Duration
	URLs          []string      // of the configured routes, without their secrets
	PoolSize      int           // negative for no pool
	WriteDeadline time.Duration // 0 for the default
	Retries       bool          // a peer that takes some of what it is offered is not given up
	TLS           bool
	TLSTimeout    time.Duration
	CertNotAfter  time.Time
}

// Listening returns what is in force.
func (m *Mesh) Listening() Listening {
	c := m.config()
	at := Listening{
		Name: m.Name(), AuthTimeout: c.AuthTimeout, PoolSize: c.PoolSize, Retries: !c.Hasty, TLS: c.TLS != nil,
	}
	if c.WriteDeadline != writeDeadline {
		at.WriteDeadline = c.WriteDeadline
	}
	if at.PoolSize == 0 {
		at.PoolSize = -1
	}
	host, port, err := net.SplitHostPort(m.Addr())
	if err == nil {
		at.Host = host
		at.Port, _ = strconv.Atoi(port) // a listener's port is a number
	}
	for _, u := range c.Routes {
		at.URLs = append(at.URLs, u.Host)
	}
	if c.TLS != nil {
		at.TLSTimeout, at.CertNotAfter = c.TLS.Timeout, c.TLS.NotAfter()
	}
	return at
}
