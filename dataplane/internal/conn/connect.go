package conn

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
)

// lookupTimeout is how long a connect may wait for its account's claims.
const lookupTimeout = 5 * time.Second

// processConnect handles CONNECT, the first or a later one.
func (c *Client) processConnect(w *worker, arg []byte) *account.Refusal {
	if err := json.Unmarshal(arg, &c.connect); err != nil {
		return badConnect
	}
	if !c.host.Info.Headers {
		c.connect.Headers = false
	}
	if c.admitted.Load() {
		c.finishBatch(w) // what was published before belongs to the old identity
		c.rebind()
	}
	c.greeted = true
	if r := c.authenticate(); r != nil {
		return r
	}
	if c.connect.Account != "" || c.connect.AccountNew {
		return account.Violation("CONNECT asked for an account by name, which is not supported")
	}
	if c.connect.Protocol < 0 || c.connect.Protocol > 1 {
		return badProtocol
	}
	if c.connect.NoResponders && !c.connect.Headers {
		return needsHeaders
	}
	c.asyncInfo.Store(c.connect.Protocol >= 1)
	c.connect.Forget()
	c.ok(w)
	return nil
}

// rebind takes a client out of the account it is in, before it authenticates
// anew. Only what was subscribed before the first CONNECT, where none is needed,
// stays: it stays in the same account.
func (c *Client) rebind() {
	if c.greeted {
		c.dropSubscriptions()
	}
	c.admitted.Store(false)
	c.identity.Account.Leave(c)
	c.identity = nil
	c.shown.Store(nil)
}

// authenticate finds out who the client is and joins its account. An account
// that is evicted just then is loaded again.
func (c *Client) authenticate() *account.Refusal {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	for {
		epoch := c.host.epoch.Load()
		id, err := c.host.Auth.Authenticate(ctx, &c.connect, c.nonce, c.remote.Addr())
		if err == nil {
			c.identity = id
			c.apply(id)
			if err = id.Account.Join(c); err == nil {
				c.admitted.Store(true)
				if c.host.epoch.Load() == epoch {
					return nil
				}
				c.rebind()
				continue
			}
			if errors.Is(err, account.ErrRetired) {
				continue
			}
		}
		c.host.Totals.AuthErrors.Add(1)
		var r *account.Refusal
		if !errors.As(err, &r) {
			r = account.Violation(err.Error())
		}
		return r
	}
}

// apply sets the connection up for an identity.
func (c *Client) apply(id *account.Identity) {
	var flags uint32
	if !c.connect.Echo {
		flags |= egress.NoEcho
	}
	if !c.connect.Headers {
		flags |= egress.NoHeaders
	}
	c.canReply = id.Permissions.Responses() != nil
	if c.canReply {
		flags |= egress.Filtered
	}
	c.out.Flags.Store(flags)
	c.shown.Store(&shown{identity: id, name: c.connect.Name, lang: c.connect.Lang, version: c.connect.Version})
	c.perms.Store(id.Permissions)
	c.expires.Store(id.Expires)
	c.parser.MaxPayload = c.host.Options().MaxPayload
	for _, limit := range [...]int64{id.Limits.Payload, id.Account.State().Limits.Payload} {
		if limit != account.NoLimit && limit < int64(c.parser.MaxPayload) {
			c.parser.MaxPayload = int(limit)
		}
	}
	if c.intent == nil && c.host.NewIntent != nil {
		c.intent = c.host.NewIntent()
	}
	c.out.SetMeter(&meter{usage: id.Account.Usage, intent: c.intent})
	c.host.wheel.schedule(c, firstPing)
	c.nextPing.Store(time.Now().Add(firstPing).UnixNano())
}

// meter tells an account's billing words what one connection got.
type meter struct {
	usage  account.Usage
	intent Intent
}

// Delivering notes a write under way.
func (m *meter) Delivering(messages, bytes uint64) {
	if m.intent != nil {
		m.intent.Set(m.usage, messages, bytes)
	}
}

// Delivered counts it.
func (m *meter) Delivered(messages, bytes uint64) {
	if messages > 0 {
		m.usage.Delivered(messages, bytes)
	}
	if m.intent != nil {
		m.intent.Clear()
	}
}
