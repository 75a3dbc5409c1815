package conn

import (
	"errors"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// What limits keep out is counted twice, for the account and for the broker:
// accounts are forgotten when nobody is in them.

// shedOperation counts what the client asked for and is refused.
func (c *Client) shedOperation(op *wire.Op) {
	if op.Kind == wire.Sub {
		c.shedSubscription()
		return
	}
	c.identity.Account.Shed.Refused.Add(op.Size)
	c.host.Totals.Shed.Refused.Add(op.Size)
}

func (c *Client) shedSubscription() {
	c.identity.Account.Shed.Subscriptions.Add(1)
	c.host.Totals.Shed.Subscriptions.Add(1)
}

// shedDelivery counts a message that was meant for the client.
func (c *Client) shedDelivery(size int) {
	c.host.Totals.Shed.Dropped.Add(size)
	if who := c.shown.Load(); who != nil {
		who.identity.Account.Shed.Dropped.Add(size)
	}
}

// shedConnection counts the client if a limit of the account is why it may not be
// there.
func (c *Client) shedConnection(a *account.Account, err error) {
	var r *account.Refusal
	if !errors.As(err, &r) || !r.Limit() {
		return
	}
	a.Shed.Connections.Add(1)
	c.host.Totals.Shed.Connections.Add(1)
}
