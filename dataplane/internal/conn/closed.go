package conn

import (
	"sync"
	"time"
)

// Closed is what monitoring shows of a connection that has ended. Immutable.
type Closed struct {
	Status
	Stop   time.Time
	Reason string
	// Subscriptions it had at the end; Status has their number, these may be
	// fewer.
	List []SubscriptionStatus
}

// Bounds of the subscriptions kept of connections that have ended: of one, and
// of all together. The lists of the oldest go first.
const (
	closedListMax = 1024
	closedSubsMax = 128 << 10
)

// closedRing keeps the connections that ended last. Its lock is one for which
// only ending connections and monitoring wait.
type closedRing struct {
	mu      sync.Mutex
	entries []*Closed         // guarded by mu, as is all below
	oldest  int               // index of the entry that goes next
	listed  int               // subscriptions in all lists
	cut     int               // how many of the oldest entries have no list any more
	reasons map[string]uint64 // how many ended for which reason, kept or not
}

func (r *closedRing) add(c *Closed, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reasons == nil {
		r.reasons = make(map[string]uint64)
	}
	r.reasons[c.Reason]++
	r.fit(most)
	switch {
	case most <= 0:
		return
	case len(r.entries) < most:
		r.entries = append(r.entries, c)
	default:
		r.listed -= len(r.entries[r.oldest].List)
		r.entries[r.oldest] = c
		r.oldest = (r.oldest + 1) % len(r.entries)
		r.cut = max(0, r.cut-1)
	}
	for r.listed += len(c.List); r.listed > closedSubsMax; r.cut++ {
		at := (r.oldest + r.cut) % len(r.entries)
		old := *r.entries[at]
		r.listed -= len(old.List)
		old.List = nil
		r.entries[at] = &old
	}
}

// fit makes the entries a ring of at most the given size, which a reload may
// have changed. Call it with mu held.
func (r *closedRing) fit(most int) {
	if len(r.entries) <= most && r.oldest == 0 || len(r.entries) == most {
		return
	}
	all := r.inOrder()
	drop := max(0, len(all)-max(0, most))
	for _, c := range all[:drop] {
		r.listed -= len(c.List)
	}
	r.entries, r.oldest, r.cut = all[drop:], 0, max(0, r.cut-drop)
}

// inOrder returns a copy, the oldest first. Call it with mu held.
func (r *closedRing) inOrder() []*Closed {
	all := make([]*Closed, 0, len(r.entries))
	all = append(all, r.entries[r.oldest:]...)
	return append(all, r.entries[:r.oldest]...)
}

// Closed returns the connections that ended last, the oldest first.
func (h *Host) Closed() []*Closed {
	h.closed.mu.Lock()
	defer h.closed.mu.Unlock()
	return h.closed.inOrder()
}

// ClosedReasons returns how many connections have ended, by reason.
func (h *Host) ClosedReasons() map[string]uint64 {
	r := &h.closed
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]uint64, len(r.reasons))
	for reason, n := range r.reasons {
		all[reason] = n
	}
	return all
}

// obituary notes what is about to be taken from an ending connection.
func (c *Client) obituary() *Closed {
	if c.id == 0 {
		return nil // it never was one
	}
	ended := &Closed{Status: c.Status(), Stop: time.Now(), List: c.Subscriptions(closedListMax)}
	if ended.Account == "" {
		// It was nobody; what it said of itself may tell whose fault that was.
		said := &c.connect
		ended.Name, ended.Lang, ended.Version, ended.User = said.Name, said.Lang, said.Version, said.Claims()
	}
	return ended
}

// bury leaves what monitoring shows of an ended connection.
func (c *Client) bury(ended *Closed) {
	if ended == nil {
		return
	}
	ended.Reason = clientClosed.Reason
	if r := c.refusal.Load(); r != nil {
		ended.Reason = r.Reason
	}
	ended.Traffic = c.Traffic()
	c.host.closed.add(ended, c.host.Options().MaxClosed)
}
