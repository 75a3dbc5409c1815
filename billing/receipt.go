package billing

import "encoding/binary"

// Receipt is a digest of what is kept of one incarnation and window. A broker
// that computes the same from its counters knows that nothing is missing.
type Receipt struct {
	Window int64
	Series int64  // how many (account, class, meter)
	Total  uint64 // the sum of their values, modulo 2^64
	Hash   uint64 // XOR of a hash of each
}

// Add puts a sample into the receipt. Each key may be added once.
func (r *Receipt) Add(account, class string, meter Meter, value int64) {
	v := uint64(value)
	r.Series++
	r.Total += v
	r.Hash ^= hashSample(account, class, string(meter), v)
}

// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// hashSample is FNV-1a of account, class and meter, each ended by a zero byte,
// and the value's eight bytes, least significant first. Brokers compute the
// same; docs/formats/usage-file.md has a test vector.
func hashSample(account, class, meter string, value uint64) uint64 {
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
