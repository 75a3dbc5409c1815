package ration

import (
	"math"
	"slices"

	"github.com/coveymq/covey/dataplane/internal/limit"
)

// Demand is what an account asks of one of its rates at one broker.
type Demand struct {
	// Used is how much it uses, a second.
	Used int64 `json:"used"`
	// Short says that it would use more if it got more.
	Short bool `json:"short,omitempty"`
}

const (
	// headroom is how much more than it uses a broker keeps that wants no more, so
	// that a little more does not have to be asked for.
	headroom = 1.25
	// spare is what part of an even part a broker keeps that uses nothing.
	spare = 0.05
)

// want returns how much of a rate a demand is for, if there is enough.
func (d Demand) want(rate, n float64) float64 {
	if d.Short {
		return math.Inf(1)
	}
	return max(float64(d.Used)*headroom, rate/n*spare)
}

// Divide returns what part of a rate, of limit.Whole, is that of a broker with a
// demand while others have theirs. Who wants little has it, the others share the
// rest evenly; what nobody wants is shared evenly by all.
func Divide(rate int64, own Demand, others []Demand) int64 {
	n := float64(1 + len(others))
	if n == 1 {
		return limit.Whole
	}
	r := float64(rate)
	wants := make([]float64, 0, len(others)+1)
	for _, d := range others {
		wants = append(wants, d.want(r, n))
	}
	mine := own.want(r, n)
	wants = append(wants, mine)
	slices.Sort(wants)
	left := r
	for i, w := range wants {
		if even := left / float64(len(wants)-i); w >= even {
			return part(min(mine, even), r)
		}
		left -= w
	}
	return part(mine+left/n, r)
}

func part(amount, rate float64) int64 { return max(1, int64(amount/rate*limit.Whole)) }
