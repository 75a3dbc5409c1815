package load

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"
)

const (
	// Each power of two of nanoseconds is divided into subBuckets, which
	// bounds the error of a percentile to one part in subBuckets.
	subBits    = 4
	subBuckets = 1 << subBits
	buckets    = (64 - subBits + 1) * subBuckets
)

// Histogram counts latencies. The zero value with a Base is ready; it is used
// by one goroutine, and merged after that has ended.
type Histogram struct {
	// Base is the zero of the stamps.
	Base   time.Time
	counts [buckets]uint32
	total  uint64
}

// Stamp returns the bytes that mark a payload as sent now.
func (h *Histogram) Stamp(dst []byte) { stamp(dst, h.Base) }

func stamp(dst []byte, base time.Time) {
	dst[0] = stampMark
	binary.BigEndian.PutUint64(dst[1:stampSize], uint64(time.Since(base)))
}

// RecordSince records the time since a stamp.
func (h *Histogram) RecordSince(sent []byte) {
	d := time.Since(h.Base) - time.Duration(binary.BigEndian.Uint64(sent))
	h.Record(d)
}

// Record adds one latency.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucketOf(uint64(max(d, 0)))]++
	h.total++
}

// bucketOf maps a value to its bucket: values below subBuckets to themselves,
// others by their top subBits+1 bits.
func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	exp := bits.Len64(v) - subBits - 1
	return exp*subBuckets + int(v>>exp)
}

// upperBound is the highest value of a bucket.
func upperBound(bucket int) uint64 {
	if bucket < 2*subBuckets {
		return uint64(bucket)
	}
	exp := bucket/subBuckets - 1
	low := uint64(bucket - exp*subBuckets)
	return (low+1)<<exp - 1
}

// Merge adds the counts of o.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// Count is how many latencies were recorded.
func (h *Histogram) Count() uint64 { return h.total }

// Quantile returns the latency that the share q of all does not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	want := uint64(math.Ceil(q * float64(h.total)))
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += uint64(n); n > 0 && seen >= want {
			return time.Duration(upperBound(i))
		}
	}
	return 0
}
