package egress

import (
	"runtime"
	"slices"
)

// Where many publishers send to one destination, as requesters do to a service,
// each with little, a write for each of them costs far more than the messages.
// So a destination notes how often its publishers meet. Where they do, the one
// that comes first lets others go first that are about to send, and writes what
// they left with its own. It waits for nobody: it only gives up its turn once,
// and where that brought nothing, it soon does not any more.
const (
	crowdMeet = 4 // a publisher found another one writing
	crowdLone = 1 // a publisher came alone
	crowdVain = 4 // a publisher let others go first, and nobody came
	crowdMin  = 16
	crowdMax  = 64
)

// crowded reports whether to let others go first. Call it with mu held.
func (c *Conn) crowded() bool {
	if c.crowd < crowdMin {
		c.crowd = max(c.crowd-crowdLone, 0)
		return false
	}
	return true
}

// gather lets others go first and writes what they left behind what it is given.
// It reports false, having written nothing, if they left nothing. The caller owns
// the write side; it still does then, and else it does not.
func (c *Conn) gather(segs []segment) bool {
	runtime.Gosched()
	c.mu.Lock()
	if c.head == len(c.queue) && len(c.ctrl) == 0 && len(c.lanes.turns) == 0 {
		c.crowd = max(c.crowd-crowdVain, 0)
		c.mu.Unlock()
		return false
	}
	for i := range segs {
		segs[i].own()
	}
	c.queue = slices.Insert(c.queue, c.head, segs...)
	c.charge(size(segs))
	c.vec = newVector()
	for i := 0; i < inlineRounds && c.round(false); i++ {
	}
	c.handBack()
	return true
}
