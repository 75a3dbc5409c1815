package egress

import (
	"sync"
	"sync/atomic"
)

// Budget bounds what all connections of one account may have waiting together,
// so that one account's stuck subscribers cannot take the broker's memory. What
// is written at once is never counted. When there is too much, the connection
// with the largest backlog gives way: it is closed as a slow consumer, or gets
// nothing more until half of its backlog is gone.
type Budget struct {
	used atomic.Int64
	most atomic.Int64 // 0 for no bound
	drop atomic.Bool

	mu      sync.Mutex // taken with a Conn's held, never the other way round
	holders map[*Conn]struct{}
}

// Set changes the bound; 0 is for none. Drop says that connections lose
// messages, not their lives.
func (b *Budget) Set(most int64, drop bool) {
	b.most.Store(most)
	b.drop.Store(drop)
}

// Used returns how many bytes wait.
func (b *Budget) Used() int64 { return b.used.Load() }

// SetBudget says whose memory the backlog takes from now on.
func (c *Conn) SetBudget(b *Budget) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.budget == b {
		return
	}
	held := c.charged.Load()
	c.charge(-held)
	c.budget = b
	c.charge(held)
}

// charge notes that n bytes more wait, or fewer. Call it with mu held.
func (c *Conn) charge(n int64) {
	if n == 0 {
		return
	}
	before := c.charged.Load()
	c.charged.Store(before + n)
	if b := c.budget; b != nil {
		b.used.Add(n)
		if before == 0 || before+n == 0 {
			b.hold(c, before == 0)
		}
	}
	if c.relief > 0 && before+n <= c.relief {
		c.relief = 0
		c.Flags.And(^Full)
	}
	if c.slow && before+n <= c.limits.nearly() {
		c.slow = false
		c.Flags.And(^Slow)
	}
}

func (b *Budget) hold(c *Conn, holds bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !holds {
		delete(b.holders, c)
		return
	}
	if b.holders == nil {
		b.holders = make(map[*Conn]struct{})
	}
	b.holders[c] = struct{}{}
}

// over reports whether too much waits.
func (b *Budget) over() bool {
	if b == nil {
		return false
	}
	most := b.most.Load()
	return most > 0 && b.used.Load() > most
}

// relieve lets the connection with the largest backlog give way. Call it with no
// Conn's mutex held.
func (b *Budget) relieve() {
	victim := b.largest()
	if victim == nil {
		return
	}
	if !b.drop.Load() {
		victim.giveUp(SlowConsumerBudget)
		return
	}
	victim.fill()
}

// overflow is what happens to a connection that has more waiting than it may.
func (c *Conn) overflow(b *Budget) {
	if b != nil && b.drop.Load() {
		c.fill()
		return
	}
	c.giveUp(SlowConsumerPending)
}

// fill keeps more away from the connection until half of its backlog is gone.
func (c *Conn) fill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.charged.Load(); held > 0 && c.relief == 0 {
		c.relief = max(1, held/2)
		c.Flags.Or(Full)
	}
}

// largest returns the connection with the largest backlog of those that have not
// given way; nil if those that have will free enough.
func (b *Budget) largest() (victim *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	going, most := int64(0), int64(0)
	for c := range b.holders {
		held := c.charged.Load()
		switch {
		case c.Flags.Load()&(Closed|Full) != 0:
			going += held
		case held > most:
			victim, most = c, held
		}
	}
	if b.drop.Load() {
		// Those that are full go on holding what they have. Who has less than an
		// equal share must not lose anything for that.
		if most*int64(len(b.holders)) < b.most.Load() {
			return nil
		}
	} else if b.used.Load()-going <= b.most.Load() {
		return nil
	}
	return victim
}
