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
	rate, burst int64 // of all brokers together

	pace  atomic.Pointer[pace] // what of it is here
	used  atomic.Int64
	spent atomic.Int64 // taken since Rate.Sample
	short atomic.Bool  // somebody had to wait, or was refused, since then
}

// pace is how a bucket fills. Immutable.
type pace struct {
	start time.Time
	base  int64 // given before the start
	rate  int64 // thousandths of a token a second
	burst int64
	part  int64 // of Whole
}

// Whole is the part of a rate that a broker has alone.
const Whole = 1_000_000

// perToken is how many nanoseconds times thousandths a token takes.
const perToken = uint64(time.Second) * 1000

// NewBucket returns a full bucket.
func NewBucket(rate, burst int64, now time.Time) *Bucket {
	b := &Bucket{rate: rate, burst: burst}
	b.used.Store(-burst)
	b.pace.Store(&pace{start: now, rate: rate * 1000, burst: burst, part: Whole})
	return b
}

// Part lets the bucket fill with a part of its rate and hold that part of its
// burst from now on. What it holds beyond that is gone.
func (b *Bucket) Part(part int64, now time.Time) {
	part = min(max(part, 1), Whole)
	was := b.pace.Load()
	if was.part == part {
		return
	}
	given, rest := was.given(now)
	next := &pace{start: now, base: given, part: part, rate: max(1, scale(b.rate, 1000*part)), burst: max(1, scale(b.burst, part))}
	if now.Before(was.start) {
		next.start = was.start
	}
	// What was given of the next token is not lost.
	next.start = next.start.Add(-time.Duration(rest / uint64(next.rate))) //nolint:gosec // at most a thousand seconds' worth
	b.pace.Store(next)
}

// scale returns n*part/Whole without an overflow.
func scale(n, part int64) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(part)) //nolint:gosec // neither is negative
	q, _ := bits.Div64(hi, lo, Whole)
	return int64(q) //nolint:gosec // at most a thousand times the largest rate
}

// given returns how many tokens were given until now, and what of the next one.
func (p *pace) given(now time.Time) (tokens int64, rest uint64) {
	since := now.Sub(p.start)
	if since <= 0 {
		return p.base, 0
	}
	hi, lo := bits.Mul64(uint64(since), uint64(p.rate)) //nolint:gosec // neither is negative
	n, rest := bits.Div64(hi, lo, perToken)
	return p.base + int64(n), rest //nolint:gosec // the largest rate takes ten years to get there
}

// wait returns how long n tokens take, rounded up.
func (p *pace) wait(n int64) time.Duration {
	hi, lo := bits.Mul64(uint64(n), perToken) //nolint:gosec // n is positive
	if hi >= uint64(p.rate) {
		return 1<<63 - 1
	}
	d, rest := bits.Div64(hi, lo, uint64(p.rate))
	if rest > 0 {
		d++
	}
	return time.Duration(min(d, 1<<63-1)) //nolint:gosec // bounded
}

// Take takes n tokens if they are there. Otherwise it takes none and returns
// after which time they will be, if nobody else takes them. More than the whole
// burst is given when the bucket is full, and then owed.
func (b *Bucket) Take(n int64, now time.Time) time.Duration {
	p := b.pace.Load()
	given, _ := p.given(now)
	for {
		used := b.used.Load()
		from := max(used, given-p.burst)
		if over := from + min(n, p.burst) - given; over > 0 {
			b.starve()
			return p.wait(over)
		}
		if b.used.CompareAndSwap(used, from+n) {
			b.spent.Add(n)
			return 0
		}
	}
}

// Reserve takes n tokens whether they are there or not, and returns when they are
// the caller's. Who reserves later gets them later.
func (b *Bucket) Reserve(n int64, now time.Time) (time.Duration, Ticket) {
	p := b.pace.Load()
	given, _ := p.given(now)
	for {
		used := b.used.Load()
		from := max(used, given-p.burst)
		if !b.used.CompareAndSwap(used, from+n) {
			continue
		}
		b.spent.Add(n)
		due := from + min(n, p.burst)
		if due <= given {
			return 0, Ticket{}
		}
		b.starve()
		return p.wait(due - given), Ticket{b, due}
	}
}

func (b *Bucket) starve() {
	if !b.short.Load() {
		b.short.Store(true)
	}
}

// Return gives back tokens that were taken or reserved for nothing.
func (b *Bucket) Return(n int64) {
	b.used.Add(-n)
	b.spent.Add(-n)
}

// rested reports whether the bucket is full again.
func (b *Bucket) rested(now time.Time) bool {
	p := b.pace.Load()
	given, _ := p.given(now)
	return b.used.Load() <= given-p.burst
}

// Ticket is a place in a bucket's future: when so much was given, it is the
// holder's turn. It stays true when the bucket fills faster or slower than
// before. The zero value is nobody's.
type Ticket struct {
	bucket *Bucket
	due    int64
}

// Held reports whether there is something to wait for, or was.
func (t Ticket) Held() bool { return t.bucket != nil }

// Left returns how long it takes from now.
func (t Ticket) Left(now time.Time) time.Duration {
	p := t.bucket.pace.Load()
	given, _ := p.given(now)
	if given >= t.due {
		return 0
	}
	return p.wait(t.due - given)
}
