package limit

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Bucket is a token bucket in one atomic word. It counts in tokens, not in time,
// so that nothing is lost to rounding however high or low the rate is: what the
// rate has given since the start is computed, what was used is counted.
type Bucket struct {
	// Immutable.
	start       time.Time
	rate, burst int64

	used atomic.Int64
}

// NewBucket returns a full bucket.
func NewBucket(rate, burst int64, now time.Time) *Bucket {
	b := &Bucket{start: now, rate: rate, burst: burst}
	b.used.Store(-burst)
	return b
}

// given returns how many tokens the rate has given until now.
func (b *Bucket) given(now time.Time) int64 {
	since := now.Sub(b.start)
	if since <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(since), uint64(b.rate))
	n, _ := bits.Div64(hi, lo, uint64(time.Second))
	return int64(n) //nolint:gosec // the largest rate takes ten years to get there
}

// wait returns how long the rate needs for n tokens, rounded up.
func (b *Bucket) wait(n int64) time.Duration {
	hi, lo := bits.Mul64(uint64(n), uint64(time.Second)) //nolint:gosec // n is positive
	if hi >= uint64(b.rate) {
		return 1<<63 - 1
	}
	d, rest := bits.Div64(hi, lo, uint64(b.rate))
	if rest > 0 {
		d++
	}
	return time.Duration(min(d, 1<<63-1)) //nolint:gosec // bounded
}

// Take takes n tokens if they are there. Otherwise it takes none and returns
// after which time they will be, if nobody else takes them. More than the whole
// burst is given when the bucket is full, and then owed.
func (b *Bucket) Take(n int64, now time.Time) time.Duration {
	given := b.given(now)
	for {
		used := b.used.Load()
		from := max(used, given-b.burst)
		if over := from + min(n, b.burst) - given; over > 0 {
			return b.wait(over)
		}
		if b.used.CompareAndSwap(used, from+n) {
			return 0
		}
	}
}

// Reserve takes n tokens whether they are there or not, and returns after which
// time they are the caller's. Who reserves later gets them later.
func (b *Bucket) Reserve(n int64, now time.Time) time.Duration {
	given := b.given(now)
	for {
		used := b.used.Load()
		from := max(used, given-b.burst)
		if b.used.CompareAndSwap(used, from+n) {
			return b.wait(max(0, from+min(n, b.burst)-given))
		}
	}
}

// Return gives back tokens that were taken or reserved for nothing.
func (b *Bucket) Return(n int64) { b.used.Add(-n) }

// rested reports whether the bucket is full again.
func (b *Bucket) rested(now time.Time) bool { return b.used.Load() <= b.given(now)-b.burst }
