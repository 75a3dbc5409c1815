package conn

import "github.com/coveymq/covey/dataplane/internal/account"

// Traffic returns the connection's counts.
func (c *Client) Traffic() account.Traffic {
	return account.Traffic{
		InMessages: c.inMsgs.Load(), InBytes: c.inBytes.Load(),
		OutMessages: c.out.OutMessages.Load(), OutBytes: c.out.OutBytes.Load(),
	}
}

// AccountTraffic returns what went through the connection as a member of the
// account it is in.
func (c *Client) AccountTraffic() account.Traffic {
	t := c.Traffic()
	if who := c.shown.Load(); who != nil {
		t.Subtract(who.before)
	}
	return t
}
