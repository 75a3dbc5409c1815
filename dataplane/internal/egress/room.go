package egress

import "time"

// nearly is from which backlog on publishers wait for a connection, or do not
// and it loses what they publish.
func (l *Limits) nearly() int64 { return l.MaxPending / 4 * 3 }

// skip keeps what is published away from a connection that has nearly too much,
// until it has less. It reports false if publishers are to wait instead.
func (c *Conn) skip() bool {
	if s := c.limits.NoStall; s == nil || !s.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.slow && c.charged.Load() > c.limits.nearly() {
		c.slow = true
		c.Flags.Or(Slow)
	}
	return true
}

// waitForRoom waits until half of the allowed backlog is free, at most for d.
// It returns the time it may have taken.
func (c *Conn) waitForRoom(d time.Duration) time.Duration {
	c.mu.Lock()
	if c.closed || c.pending <= c.limits.MaxPending/2 {
		c.mu.Unlock()
		return 0
	}
	if c.room == nil {
		c.room = make(chan struct{})
	}
	room := c.room
	c.mu.Unlock()
	c.stalls.Add(1)
	await(room, d)
	return d
}

func await(done <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// Stalls returns how often a publisher waited for this connection.
func (c *Conn) Stalls() uint64 { return c.stalls.Load() }
