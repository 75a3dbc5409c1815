package limit

import "time"

// Rate is one of a gate's own rates, as it is divided among the brokers at which
// an account has connections.
type Rate struct {
	Name   string
	Amount int64 // a second, of all brokers together
	bucket *Bucket
}

// Rates returns the gate's own rates; none if there is no gate. The caller must
// not change the slice.
func (g *Gate) Rates() []Rate {
	if g == nil {
		return nil
	}
	return g.rates
}

// Sample returns how much was taken since the last time, and whether anybody was
// made to wait or was refused meanwhile.
func (r *Rate) Sample() (spent int64, short bool) {
	return r.bucket.spent.Swap(0), r.bucket.short.Swap(false)
}

// SetPart says what part of the rate, and of its burst, is this broker's from now
// on; see Whole.
func (r *Rate) SetPart(part int64, now time.Time) { r.bucket.Part(part, now) }

// Part returns what part of the rate is this broker's.
func (r *Rate) Part() int64 { return r.bucket.pace.Load().part }

// Begin says what part of those of its own rates the gate begins with that the
// previous one, which may be nil, did not have.
func (g *Gate) Begin(previous *Gate, part int64, now time.Time) {
	had := make(map[*Bucket]bool)
	for _, r := range previous.Rates() {
		had[r.bucket] = true
	}
	for _, r := range g.Rates() {
		if !had[r.bucket] {
			r.SetPart(part, now)
		}
	}
}
