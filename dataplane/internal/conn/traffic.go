package conn

// Traffic is what went through one connection, or several.
type Traffic struct {
	Account                                    string
	InMessages, InBytes, OutMessages, OutBytes uint64
}

// Add adds the counts of another connection.
func (t *Traffic) Add(o Traffic) {
	t.InMessages += o.InMessages
	t.InBytes += o.InBytes
	t.OutMessages += o.OutMessages
	t.OutBytes += o.OutBytes
}

// Traffic returns the connection's counts.
func (c *Client) Traffic() Traffic {
	t := Traffic{
		InMessages: c.inMsgs.Load(), InBytes: c.inBytes.Load(),
		OutMessages: c.out.OutMessages.Load(), OutBytes: c.out.OutBytes.Load(),
	}
	if who := c.shown.Load(); who != nil {
		t.Account = who.identity.Account.Key
	}
	return t
}

// leave adds a closing connection's counts to the totals.
func (t *Totals) leave(c Traffic) {
	t.InMessages.Add(c.InMessages)
	t.InBytes.Add(c.InBytes)
	t.OutMessages.Add(c.OutMessages)
	t.OutBytes.Add(c.OutBytes)
}
