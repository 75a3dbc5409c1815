package ration

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/limit"
)

// A burst is there once, not at each broker, however long it takes an account to
// ask for all of it at one after the other: what a broker had to give up does not
// come back with its part.
func TestABurstIsThereOnce(t *testing.T) {
	const rate, burst = 1, 900
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t, 3, quota(t, rate, burst, accounts.Refuse), seed, 90*time.Millisecond)
		w.run(time.Duration(rng.IntN(1500)) * time.Millisecond)
		for i, s := range w.sites {
			s.asks = 9000
			w.run(time.Duration(50+rng.IntN(1000)) * time.Millisecond)
			s.asks = 0
			if rng.IntN(2) == 0 {
				w.run(time.Duration(rng.IntN(2000)) * time.Millisecond)
			}
			if most := burst/3 + int64(w.now/time.Second) + 1; i == 0 && s.got < burst/3-1 || s.got > most {
				t.Errorf("seed %d: broker %d admitted %d of a burst of %d", seed, i, s.got, burst)
			}
		}
		if over := w.worst() - burst; over > 1 {
			t.Errorf("seed %d: %.0f were admitted beyond a burst of %d, at brokers %d, %d and %d", seed, over, burst, w.sites[0].got, w.sites[1].got, w.sites[2].got)
		}
	}
}

// However late the others' words come, who is new takes no more than an even part
// until it has heard of all of them; and it takes all as soon as they have said
// that the account is not there.
func TestNobodyTakesWhatOthersHaveNotGivenUp(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, 3, quota(t, 1000, 900, accounts.Refuse), seed, 900*time.Millisecond)
		for w.now < 2*time.Second {
			w.step()
			if parts, sum := w.parts(); sum > limit.Whole {
				t.Fatalf("seed %d: after %v they have %v", seed, w.now, parts)
			}
		}
	}
	w := newWorld(t, 3, quota(t, 1000, 900, accounts.Refuse), 1, 20*time.Millisecond)
	for _, s := range w.sites {
		s.members = 0
	}
	w.run(time.Second)
	first := w.sites[0]
	first.members = 1
	first.table.Joined("A", first, w.clock())
	w.run(600 * time.Millisecond) // and not patience
	if parts, _ := w.parts(); parts[0] != limit.Whole {
		t.Errorf("who is alone has %d of %d", parts[0], limit.Whole)
	}
}
