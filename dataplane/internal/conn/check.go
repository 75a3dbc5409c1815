package conn

import (
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// When the first PING goes out, to learn the round-trip time, as in nats-server.
const firstPing = 2 * time.Second

// idleAfter is when a connection counts as idle.
const idleAfter = 5 * time.Second

// maxWait is the longest the wheel can wait; longer waits are split.
const maxWait = (wheelBuckets - 1) * wheelTick

// check is what the wheel calls. It returns after which time it wants to be
// called again; zero for never.
func (c *Client) check() time.Duration {
	now := time.Now()
	if !c.admitted.Load() {
		left := c.host.Options().AuthTimeout - (now.Sub(c.start) - c.waited)
		if left > 0 {
			return min(left, maxWait)
		}
		c.Disconnect(authTimeout)
		return 0
	}
	wait := c.checkPing(now)
	if wait == 0 {
		return 0
	}
	for _, end := range c.ends() {
		if end.at == 0 {
			continue
		}
		left := time.Unix(end.at, 0).Sub(now)
		if left <= 0 {
			c.Disconnect(end.refusal)
			return 0
		}
		wait = min(wait, left)
	}
	return min(wait, maxWait)
}

// expiry is a time after which the connection must end; 0 for none.
type expiry struct {
	at      int64 // Unix second
	refusal *account.Refusal
}

// ends returns when the user's and the account's claims expire.
func (c *Client) ends() [2]expiry {
	ends := [2]expiry{{c.expires.Load(), account.UserExpired}, {refusal: account.AccountExpired}}
	if who := c.shown.Load(); who != nil {
		ends[1].at = who.identity.Account.State().Expires
	}
	return ends
}

// checkPing sends a PING when one is due, or gives the connection up as stale.
// It returns the time to the next; zero when the connection was given up.
func (c *Client) checkPing(now time.Time) time.Duration {
	o := c.host.Options()
	last := time.Duration(c.lastIn.Load()) * wheelTick
	quiet := time.Duration(c.host.wheel.now.Load())*wheelTick - last
	if c.socket != nil && quiet > idleAfter && c.worked.Load() && !c.shrink.Swap(true) {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the reader; see Client.read
	}
	due := c.nextPing.Load()
	if left := time.Duration(due - now.UnixNano()); left > 0 {
		return left
	}
	if quiet < o.PingInterval && c.rtt.Load() != 0 {
		c.nextPing.Store(now.Add(o.PingInterval - quiet).UnixNano())
		return o.PingInterval - quiet
	}
	if int(c.pingsOut.Load()) >= o.PingMax {
		c.host.Totals.Stale.Add(1)
		c.Disconnect(stale)
		return 0
	}
	c.pingsOut.Add(1)
	c.pingSent.Store(now.UnixNano())
	c.nextPing.Store(now.Add(o.PingInterval).UnixNano())
	c.out.Control([]byte(wire.PingLine))
	c.traceOut("PING")
	return o.PingInterval
}

// pong notes the answer to a PING.
func (c *Client) pong() {
	c.pingsOut.Store(0)
	if sent := c.pingSent.Swap(0); sent != 0 {
		c.rtt.Store(max(1, time.Now().UnixNano()-sent))
	}
}
