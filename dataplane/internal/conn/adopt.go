package conn

import (
	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/permission"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Identity returns who the client is; nil if it is nobody yet, or just becoming
// somebody else.
func (c *Client) Identity() *account.Identity {
	if who := c.shown.Load(); who != nil {
		return who.identity
	}
	return nil
}

// Seat is for the account that the client is in.
func (c *Client) Seat() *account.Seat { return &c.seat }

// show tells others who the client is and puts what follows from that in force.
func (c *Client) show(id *account.Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown.Store(&shown{
		identity: id, name: c.connect.Name, lang: c.connect.Lang, version: c.connect.Version, before: c.Traffic(),
	})
	c.perms.Store(id.Permissions)
	c.expires.Store(id.Expires)
	c.maxPayload.Store(c.payloadLimit(id))
}

// hide makes the client nobody. Whoever was about to change what it was comes
// too late.
func (c *Client) hide() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown.Store(nil)
}

// Adopt puts another identity of the same user in force, with the limits that
// the account has now. A connection that has more subscriptions than it may from
// now on ends, as in nats-server.
func (c *Client) Adopt(was, is *account.Identity) {
	defer c.regate()
	if c.adopt(was, is) {
		c.host.wheel.schedule(c, wheelTick) // the times may be others
	}
}

func (c *Client) adopt(was, is *account.Identity) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	who := c.shown.Load()
	if who == nil || who.identity != was {
		return false
	}
	if was != is {
		next := *who
		next.identity = is
		c.shown.Store(&next)
		c.expires.Store(is.Expires)
	}
	c.maxPayload.Store(c.payloadLimit(is))
	if is.Permissions != was.Permissions {
		c.permitLocked(is.Permissions)
	}
	if most := c.subscriptionLimit(is); most != account.NoLimit && int64(c.subs.len()) > most {
		c.Disconnect(tooManySubscriptions)
	}
	return was.Expires != is.Expires || was.State != is.State && was.State.Expires != is.State.Expires
}

// Permit replaces the connection's rules, if it still is who it was.
func (c *Client) Permit(was *account.Identity, p *permission.Set) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who := c.shown.Load(); who != nil && who.identity == was {
		c.permitLocked(p)
	}
}

// permitLocked ends the subscriptions that new rules no longer allow, and tells
// the client.
func (c *Client) permitLocked(p *permission.Set) {
	c.perms.Store(p)
	if p.Responses() != nil {
		c.out.Flags.Or(egress.Filtered)
	}
	for _, sub := range c.subs.list(-1) {
		if !p.Subscribe(sub.Subject(), sub.Queue()) {
			c.removeLocked(sub)
			c.out.Control([]byte(wire.ErrLine(subscribeViolation(sub.Subject(), sub.Queue()))))
		} else if p.Filter(sub.Subject(), sub.Queue()) {
			c.out.Flags.Or(egress.Filtered)
		}
	}
}

// payloadLimit returns how many bytes a message of the client may have.
func (c *Client) payloadLimit(id *account.Identity) int64 {
	most := int64(c.host.Options().MaxPayload)
	for _, limit := range [...]int64{id.Limits.Payload, id.Account.State().Limits.Payload} {
		if limit != account.NoLimit {
			most = min(most, limit)
		}
	}
	return most
}

// subscriptionLimit returns how many subscriptions the client may have, or
// NoLimit. In claims, unlike in the options, 0 means none at all.
func (c *Client) subscriptionLimit(id *account.Identity) int64 {
	most := int64(account.NoLimit)
	if n := c.host.Options().MaxSubscriptions; n > 0 {
		most = int64(n)
	}
	for _, limit := range [...]int64{id.Limits.Subscriptions, id.Account.State().Limits.Subscriptions} {
		if limit != account.NoLimit && (most == account.NoLimit || limit < most) {
			most = limit
		}
	}
	return most
}
