package conn

import (
	"crypto/x509"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/interest"
)

// Status is a snapshot of one connection, for monitoring.
type Status struct {
	ID            uint64
	IP            string
	Port          int
	Start         time.Time
	LastActivity  time.Time // to the tenth of a second
	RTT           time.Duration
	PendingBytes  int64
	Traffic       account.Traffic
	Stalls        uint64
	Subscriptions int
	Name          string
	Lang          string
	Version       string
	TLSVersion    string // empty in clear, as are the next two
	TLSSuite      string
	TLSFirst      bool   // the handshake came before INFO
	User          string // who it is; empty before that is known, as is all below
	Issuer        string // the key that signed the user; empty without one
	Account       string // key
	AccountName   string // for people
	Tags          []string
}

// SubscriptionStatus is a snapshot of one subscription.
type SubscriptionStatus struct {
	Subject, Queue, SID string
	Delivered, Max      int64
}

// ID is the connection's number.
func (c *Client) ID() uint64 { return c.id }

// Status returns a snapshot. Of what traffic may wait for it takes two locks, one
// after the other, each for as long as a number is read.
func (c *Client) Status() Status {
	s := Status{
		ID: c.id, IP: c.addr().Addr().Unmap().String(), Port: int(c.addr().Port()), Start: c.start,
		LastActivity: c.lastActivity(), RTT: time.Duration(c.rtt.Load()), PendingBytes: c.out.Pending(),
		Traffic: c.Traffic(), Stalls: c.out.Stalls(),
	}
	if s.RTT == 0 {
		s.RTT = time.Duration(c.greeting.Load())
	}
	if t := c.tls.Load(); t != nil {
		s.TLSVersion, s.TLSSuite, s.TLSFirst = t.Version(), t.CipherSuite(), t.First()
	}
	if who := c.shown.Load(); who != nil {
		id := who.identity
		s.Name, s.Lang, s.Version = who.name, who.lang, who.version
		s.User, s.Issuer, s.Account, s.AccountName, s.Tags = id.Who(), id.Issuer, id.Account.Key, id.Account.State().Name, id.Tags
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Subscriptions = c.subs.len()
	return s
}

// Certificates returns those that the client showed, its own first.
func (c *Client) Certificates() []*x509.Certificate {
	if t := c.tls.Load(); t != nil {
		return t.Peers()
	}
	return nil
}

// Subscriptions returns a snapshot of at most limit subscriptions, in no order;
// a negative limit is none. What is under the lock is copying pointers.
func (c *Client) Subscriptions(limit int) []SubscriptionStatus {
	subs := c.pick(limit)
	all := make([]SubscriptionStatus, len(subs))
	for i, sub := range subs {
		all[i] = SubscriptionStatus{
			Subject: sub.Subject(), Queue: sub.Queue(), SID: sub.SID(),
			Delivered: sub.Delivered.Load(), Max: int64(sub.Max.Load()),
		}
	}
	return all
}

func (c *Client) pick(limit int) []*interest.Sub {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subs.list(limit)
}

// lastActivity is when the connection was last heard.
func (c *Client) lastActivity() time.Time {
	epoch := c.host.wheel.epoch.Load()
	if epoch == 0 {
		return c.start
	}
	at := time.Unix(0, epoch+c.lastIn.Load()*int64(wheelTick))
	if at.Before(c.start) {
		return c.start
	}
	return at
}
