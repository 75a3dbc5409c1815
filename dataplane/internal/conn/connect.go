package conn

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/limit"
)

// lookupTimeout is how long a connect may wait for its account's claims.
const lookupTimeout = 5 * time.Second

// processConnect handles CONNECT, the first or a later one.
func (c *Client) processConnect(w *worker, arg []byte) *account.Refusal {
	if err := c.connect.Parse(arg); err != nil {
		return badConnect
	}
	if !c.host.Info.Headers {
		c.connect.Headers = false
	}
	c.parser.NoHeaders = !c.connect.Headers
	var still *account.Identity
	if c.admitted.Load() {
		if c.greeted && c.connect.ShowsNobody() {
			still = c.identity // what it showed before holds; we have forgotten it
		}
		c.finishBatch(w) // what was published before belongs to the old identity
		if r := c.rebind(); r != nil {
			return r
		}
	}
	c.endTurn(w) // looking the account up may take long
	c.greeted = true
	c.greeting.CompareAndSwap(0, max(1, int64(time.Since(c.start))))
	if r := c.authenticate(still); r != nil {
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
	c.parser.MaxPayload = int(c.maxPayload.Load())
	if c.ponged {
		c.asyncInfo.Store(c.connect.Protocol >= 1)
	}
	c.connect.Forget()
	c.ok(w)
	return nil
}

// rebind takes a client out of the account it is in, before it authenticates
// anew. Only what was subscribed before the first CONNECT, where none is needed,
// stays, unless the client turns out to belong to another account. What is
// queued is the old account's delivery and is counted there; a client that does
// not take it must go.
func (c *Client) rebind() *account.Refusal {
	if c.greeted {
		c.dropSubscriptions()
		if c.out.Finish(lastWords); c.out.Pending() > 0 {
			return slowDeadline
		}
	}
	c.admitted.Store(false)
	c.identity.Account.Leave(c)
	c.identity = nil
	c.hide()
	return nil
}

// authenticate finds out who the client is, unless that is known still, and joins
// its account. If the account is evicted or changed just then, it begins again.
func (c *Client) authenticate(still *account.Identity) *account.Refusal {
	ctx := &patience{lasts: lookupTimeout}
	defer ctx.stop()
	c.connect.Presence = c.presence()
	for {
		epoch := c.host.epoch.Load()
		var err error
		id := still
		if still = nil; id == nil {
			id, err = c.host.Auth.Authenticate(ctx, &c.connect, c.nonce, c.addr().Addr())
		}
		if err == nil {
			err = c.join(id)
		}
		switch {
		case errors.Is(err, account.ErrRetired) || errors.Is(err, account.ErrChanged):
		case err != nil:
			c.host.Totals.AuthErrors.Add(1)
			var r *account.Refusal
			if !errors.As(err, &r) {
				r = account.Violation(err.Error())
			}
			c.refused(r)
			c.noteRefused(r)
			return r
		case c.host.epoch.Load() == epoch:
			c.welcomed()
			c.host.noteSeen(c.identity, time.Now())
			return nil
		default:
			if r := c.rebind(); r != nil {
				return r
			}
		}
	}
}

// join makes the client a member of the account that it belongs to.
func (c *Client) join(id *account.Identity) error {
	c.settle(id.Account)
	if r := c.knock(id); r != nil {
		c.shedConnection(id.Account, r)
		return r
	}
	c.identity = id
	c.apply(id)
	if err := id.Account.Join(c); err != nil {
		c.shedConnection(id.Account, err)
		return err
	}
	c.maxPayload.Store(c.payloadLimit(id)) // the account tells members only
	c.regate()
	c.admitted.Store(true)
	return nil
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
	if id.Permissions.Responses() != nil {
		flags |= egress.Filtered
	}
	c.out.Flags.Store(flags)
	c.traceFlag()
	c.show(id)
	if c.intent == nil && c.host.NewIntent != nil {
		c.intent = c.host.NewIntent()
	}
	c.out.SetBudget(&id.Account.Backlog)
	c.out.SetMeter(&meter{usage: id.Account.Usage, month: &id.Account.Month, intent: c.intent})
	c.host.wheel.schedule(c, firstPing)
	c.nextPing.Store(time.Now().Add(firstPing).UnixNano())
}

// meter tells an account's billing words what one connection got.
type meter struct {
	usage  account.Usage
	month  *atomic.Pointer[limit.Month]
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
		if month := m.month.Load(); month != nil {
			month.Add(bytes)
		}
	}
	if m.intent != nil {
		m.intent.Clear()
	}
}
