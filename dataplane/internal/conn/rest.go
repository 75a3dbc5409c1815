package conn

import (
	"context"
	"time"
)

// Rest sends all clients away, evenly over the given time, and admits no new
// ones until Resume. It returns when it has told the last of them, or Resume was
// called, or ctx ends. Doing it again while resting only ends who is left.
func (h *Host) Rest(ctx context.Context, over time.Duration) {
	h.mu.Lock()
	h.resting = true
	clients := make([]*Client, len(h.clients))
	copy(clients, h.clients)
	h.mu.Unlock()
	for i, c := range clients {
		pause(ctx, over/time.Duration(len(clients))*time.Duration(min(i, 1)))
		if ctx.Err() != nil || !h.Resting() {
			return
		}
		c.Disconnect(serverShutdown)
	}
}

// Resume admits clients again.
func (h *Host) Resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.resting = false
}

// Resting reports whether new clients are sent away.
func (h *Host) Resting() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.resting
}
