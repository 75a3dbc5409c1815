package conn

import (
	"cmp"
	"slices"
)

// Address is where clients are told to connect.
type Address struct {
	Host string
	Port int
}

// Advertise tells clients, those that are connected too, to connect to another
// address than that of Info; nil for that one.
func (h *Host) Advertise(a *Address) {
	before := h.advertised.Swap(a)
	if before == a || before != nil && a != nil && *before == *a {
		return
	}
	h.announce()
}

// shed ends the connections beyond the limit, those that came last first.
func (h *Host) shed(limit int) {
	if limit <= 0 {
		return
	}
	all := h.Clients()
	if len(all) <= limit {
		return
	}
	slices.SortFunc(all, func(a, b *Client) int { return cmp.Compare(a.id, b.id) })
	for _, c := range all[limit:] {
		c.Disconnect(tooManyConnections)
	}
}

// limitPayload puts the limit of payloads in force that the options have now.
func (c *Client) limitPayload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who := c.shown.Load(); who != nil {
		c.maxPayload.Store(c.payloadLimit(who.identity))
	}
}
