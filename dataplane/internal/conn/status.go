package conn

import (
	"strings"
	"time"
)

// Status is a snapshot of one connection, for monitoring.
type Status struct {
	ID            uint64
	IP            string
	Port          int
	Start         time.Time
	LastActivity  time.Time
	RTT           time.Duration
	PendingBytes  int64
	InMessages    uint64
	InBytes       uint64
	OutMessages   uint64
	OutBytes      uint64
	Stalls        uint64
	Subscriptions []SubscriptionStatus
	Name          string
	Lang          string
	Version       string
	User          string
	Account       string
}

// SubscriptionStatus is a snapshot of one subscription.
type SubscriptionStatus struct {
	Subject, Queue, SID string
	Delivered, Max      int64
}

// Status returns a snapshot. It takes the connection's own locks for moments
// only, never one that its traffic waits for.
func (c *Client) Status() Status {
	s := Status{
		ID: c.id, IP: c.remote.Addr().Unmap().String(), Port: int(c.remote.Port()), Start: c.start,
		LastActivity: c.lastActivity(), RTT: time.Duration(c.rtt.Load()), PendingBytes: c.out.Pending(),
		InMessages: c.inMsgs.Load(), InBytes: c.inBytes.Load(),
		OutMessages: c.out.OutMessages.Load(), OutBytes: c.out.OutBytes.Load(), Stalls: c.out.Stalls(),
	}
	if who := c.shown.Load(); who != nil {
		s.Name, s.Lang, s.Version = who.name, who.lang, who.version
		s.User, s.Account = who.identity.User, who.identity.Account.Key
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, sub := range c.subs {
		s.Subscriptions = append(s.Subscriptions, SubscriptionStatus{
			Subject: sub.Subject, Queue: sub.Queue, SID: strings.TrimSpace(sub.SID),
			Delivered: sub.Delivered.Load(), Max: sub.Max.Load(),
		})
	}
	return s
}

func (c *Client) lastActivity() time.Time {
	ago := time.Duration(c.host.wheel.now.Load()-c.lastIn.Load()) * wheelTick
	return time.Now().Add(-ago)
}
