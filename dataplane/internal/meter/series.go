package meter

import (
	"encoding/binary"
	"math"
	"time"
)

const secondsPerHour = 3600

// ClassStandard is the class of ordinary messages.
const ClassStandard = "standard"

// Counts are the four meters of one account and hour.
type Counts [wordCount]uint64

// Published is the number of messages accepted from publishers.
func (c Counts) Published() uint64 { return c[wordPublished] }

// Delivered is the number of messages that the kernel took for subscribers.
func (c Counts) Delivered() uint64 { return c[wordDelivered] }

// PublishedBytes is the size of the published messages: headers and payload.
func (c Counts) PublishedBytes() uint64 { return c[wordPublishedBytes] }

// DeliveredBytes is the size of the delivered messages: headers and payload.
func (c Counts) DeliveredBytes() uint64 { return c[wordDeliveredBytes] }

// overflows reports whether a count is more than the wire's int64 can carry.
func (c Counts) overflows() bool {
	for _, v := range c {
		if v > math.MaxInt64 {
			return true
		}
	}
	return false
}

// meterNames are the ledger's names of the words, in their order.
var meterNames = [wordCount]string{"published", "delivered", "published_bytes", "delivered_bytes"} //nolint:gochecknoglobals // constant

// Series is what one account used in one hour under one incarnation. At least
// one of its counts is not zero.
type Series struct {
	Account string // public key
	Class   string
	Window  int64 // the UTC hour: Unix seconds of its beginning
	Counts  Counts
}

type seriesKey struct {
	account, class string
	window         int64
}

func (s *Series) key() seriesKey { return seriesKey{s.Account, s.Class, s.Window} }

// hour returns the window that now belongs to.
func hour(now time.Time) int64 {
	t := now.Unix()
	return t - t%secondsPerHour
}

// Digest sums up the series of one incarnation and hour without regard to
// their order. The ledger computes the same from its rows; two equal digests
// are the receipt. A meter that is zero does not take part.
type Digest struct {
	Series int64  // how many (account, class, meter)
	Total  uint64 // the sum of their values, modulo 2^64
	Hash   uint64 // XOR of a hash of each
}

// Replace takes the old counts of a series out of the digest and puts the new
// ones in. Old is zero for a series that is new.
func (d *Digest) Replace(s *Series, old Counts) {
	for i, value := range s.Counts {
		if old[i] == value {
			continue
		}
		if old[i] != 0 {
			d.Series--
			d.Hash ^= hashSeries(s.Account, s.Class, meterNames[i], old[i])
		}
		if value != 0 {
			d.Series++
			d.Hash ^= hashSeries(s.Account, s.Class, meterNames[i], value)
		}
		d.Total += value - old[i]
	}
}

// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// hashSeries is FNV-1a of account, class and meter, each ended by a zero byte,
// and the value's eight bytes, least significant first.
func hashSeries(account, class, meter string, value uint64) uint64 {
	h := uint64(fnvOffset)
	for _, s := range [...]string{account, class, meter} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * fnvPrime
		}
		h *= fnvPrime // the zero byte
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], value)
	for _, c := range b {
		h = (h ^ uint64(c)) * fnvPrime
	}
	return h
}
