package limit

import (
	"time"

	"github.com/coveymq/covey/accounts"
)

// Verdict is what a Gate says. The zero value admits.
type Verdict struct {
	Limit  string          // that was reached; empty if none was
	Policy accounts.Policy // what is to be done about it
	Wait   time.Duration   // how long Slow takes, or until it is worth trying again
	Ticket Ticket          // of who is slowed
}

// Admits reports whether there is nothing in the way now.
func (v Verdict) Admits() bool { return v.Limit == "" }

// Gate holds the rates of an account, or of one user with those of its account.
// Immutable but for what its buckets count.
type Gate struct {
	in, out, subscribes, connects []valve

	data *volume // nil for no bound

	own   []valve // those of them that are not the outer gate's
	rates []Rate  // the same ones
}

// valve is one bucket of a gate.
type valve struct {
	name   string
	policy accounts.Policy
	bytes  bool // counts bytes, not messages
	bucket *Bucket
}

// slowBurst bounds how far a rate that slows clients may fall behind because a
// client that was made to wait is heard again a little late.
const slowBurst = 50 * time.Millisecond

// NewGate returns the gate of quotas, in front of an outer one, either of which
// may be nothing. The previous gate's own buckets go on where they count the
// same. It returns the outer one if there is nothing to count.
func NewGate(outer *Gate, q accounts.Quotas, previous *Gate, now time.Time) *Gate {
	return NewAccountGate(outer, q, previous, nil, now)
}

// NewAccountGate is NewGate with a count of bytes a month, which only an account
// has.
func NewAccountGate(outer *Gate, q accounts.Quotas, previous *Gate, month *Month, now time.Time) *Gate {
	g := &Gate{}
	if outer != nil {
		*g = *outer
		g.own, g.rates = nil, nil
	}
	for _, to := range []struct {
		name  string
		list  *[]valve
		bytes bool
	}{
		{accounts.MessagesIn, &g.in, false},
		{accounts.BytesIn, &g.in, true},
		{accounts.MessagesOut, &g.out, false},
		{accounts.BytesOut, &g.out, true},
		{accounts.Connects, &g.connects, false},
		{accounts.Subscribes, &g.subscribes, false},
	} {
		if quota, ok := q[to.name]; ok {
			v := valve{name: to.name, policy: quota.Policy, bytes: to.bytes, bucket: previous.bucket(to.name, quota)}
			if v.bucket == nil {
				v.bucket = NewBucket(quota.Amount, burstOf(quota), now)
			}
			*to.list = insert(*to.list, v)
			g.own = append(g.own, v)
			g.rates = append(g.rates, Rate{to.name, quota.Amount, v.bucket})
		}
	}
	if quota, ok := q[accounts.MonthlyBytes]; ok && month != nil {
		g.data = &volume{month, quota}
	} else if len(g.own) == 0 {
		return outer
	}
	return g
}

func burstOf(q accounts.Quota) int64 {
	if q.Policy != accounts.Slow {
		return q.Burst
	}
	return max(q.Burst, int64(float64(q.Amount)*slowBurst.Seconds()))
}

// insert returns a new list with v, those that only slow last.
func insert(list []valve, v valve) []valve {
	all := make([]valve, 0, len(list)+1)
	if v.policy != accounts.Slow {
		all = append(all, v)
	}
	all = append(all, list...)
	if v.policy == accounts.Slow {
		all = append(all, v)
	}
	return all
}

// bucket returns the gate's own bucket of a name if it counts by a quota.
func (g *Gate) bucket(name string, q accounts.Quota) *Bucket {
	if g == nil {
		return nil
	}
	for _, v := range g.own {
		if v.name == name && v.bucket.rate == q.Amount && v.bucket.burst == burstOf(q) {
			return v.bucket
		}
	}
	return nil
}

// Publish asks about a message that a client published. A verdict that slows has
// taken the tokens: after the wait they are the client's.
func (g *Gate) Publish(size int, now time.Time) Verdict {
	if g.data == nil {
		return pass(g.in, int64(size), now)
	}
	if v := g.data.ask(now); !v.Admits() {
		return v
	}
	v := pass(g.in, int64(size), now)
	if v.Admits() || v.Policy == accounts.Slow {
		g.data.month.Add(uint64(size)) //nolint:gosec // a size
	}
	return v
}

// LimitsDelivery reports whether Deliver may ever say no.
func (g *Gate) LimitsDelivery() bool { return g != nil && (len(g.out) > 0 || g.data != nil) }

// Deliver asks about a message for a client.
func (g *Gate) Deliver(size int, now time.Time) Verdict {
	if g.data != nil {
		if v := g.data.ask(now); !v.Admits() {
			return v
		}
	}
	return pass(g.out, int64(size), now)
}

// Dropped gives back what Deliver took for a message, with a verdict that slows,
// that was not delivered then: who cannot be slowed must not use up what others
// will need.
func (g *Gate) Dropped(size int) {
	for i := range g.out {
		g.out[i].bucket.Return(g.out[i].amount(int64(size)))
	}
}

// Subscribe asks about a subscription.
func (g *Gate) Subscribe(now time.Time) Verdict { return pass(g.subscribes, 0, now) }

// Connect asks about a new connection.
func (g *Gate) Connect(now time.Time) Verdict { return pass(g.connects, 0, now) }

// pass takes from all buckets or, if one refuses, from none.
func pass(list []valve, bytes int64, now time.Time) (slowest Verdict) {
	for i := range list {
		v := &list[i]
		n := v.amount(bytes)
		if v.policy == accounts.Slow {
			if wait, ticket := v.bucket.Reserve(n, now); wait > slowest.Wait {
				slowest = Verdict{v.name, v.policy, wait, ticket}
			}
			continue
		}
		if wait := v.bucket.Take(n, now); wait > 0 {
			for j := range i {
				list[j].bucket.Return(list[j].amount(bytes))
			}
			return Verdict{Limit: v.name, Policy: v.policy, Wait: wait}
		}
	}
	return slowest
}

func (v *valve) amount(bytes int64) int64 {
	if v.bytes {
		return bytes
	}
	return 1
}

// Rested reports whether the gate's own buckets are full, so that a new gate
// would be no other.
func (g *Gate) Rested(now time.Time) bool {
	if g == nil {
		return true
	}
	for _, v := range g.own {
		if !v.bucket.rested(now) {
			return false
		}
	}
	return true
}
