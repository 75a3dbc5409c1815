package turn_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/dataplane/internal/turn"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

// tenant has connections that always have more to do.
type tenant struct {
	share  turn.Share
	conns  int
	unit   time.Duration // that a quantum takes
	work   int           // in that time
	weight int64

	done  atomic.Int64 // work
	turns []int64      // by connection
}

// compete lets tenants work for a while, with a clock of their own.
func compete(t *testing.T, processors int, span time.Duration, tenants ...*tenant) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		var turns turn.Turns
		turns.SetMost(processors)
		end := time.Now().Add(span)
		var wg sync.WaitGroup
		for _, n := range tenants {
			n.share.SetWeight(n.weight)
			n.turns = make([]int64, n.conns)
			for i := range n.conns {
				wg.Go(func() {
					for turns.Begin(&n.share); time.Now().Before(end); turns.Next(&n.share, n.work) {
						<-time.After(n.unit)
						n.done.Add(int64(n.work))
						n.turns[i]++
					}
					turns.End(&n.share, 0)
				})
			}
		}
		wg.Wait()
	})
}

func within(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if got < want*(1-by) || got > want*(1+by) {
		t.Errorf("%s is %.3f, want %.3f", what, got, want)
	}
}

const quantum = 300 * time.Microsecond

// TestAccountsShareEqually gives an account with many connections no more than
// one with few.
func TestAccountsShareEqually(t *testing.T) {
	for _, processors := range []int{1, 2, 4} {
		many := &tenant{conns: 40, unit: quantum, work: turn.Quantum}
		few := &tenant{conns: 8, unit: quantum, work: turn.Quantum}
		compete(t, processors, 10*time.Second, many, few)
		within(t, "few against many", float64(few.done.Load())/float64(many.done.Load()), 1, 0.05)
		for i, n := range many.turns {
			within(t, "a connection's turns", float64(n), float64(many.turns[0]), 0.05)
			if t.Failed() {
				t.Fatalf("connection %d of %d: %v", i, len(many.turns), many.turns)
			}
		}
	}
}

// TestWeights gives accounts what they weigh.
func TestWeights(t *testing.T) {
	one := &tenant{conns: 8, unit: quantum, work: turn.Quantum, weight: 1}
	three := &tenant{conns: 8, unit: quantum, work: turn.Quantum, weight: 3}
	compete(t, 2, 10*time.Second, one, three)
	within(t, "three against one", float64(three.done.Load())/float64(one.done.Load()), 3, 0.1)
}

// TestLargeTurnsCount lets an account whose turns do four times the work have
// fewer of them.
func TestLargeTurnsCount(t *testing.T) {
	large := &tenant{conns: 8, unit: 4 * quantum, work: 4 * turn.Quantum}
	small := &tenant{conns: 8, unit: quantum, work: turn.Quantum}
	compete(t, 2, 10*time.Second, large, small)
	within(t, "large against small", float64(large.done.Load())/float64(small.done.Load()), 1, 0.15)
}

// TestAloneTakesAll lets one account use all processors.
func TestAloneTakesAll(t *testing.T) {
	one := &tenant{conns: 4, unit: quantum, work: turn.Quantum}
	compete(t, 4, time.Second, one)
	within(t, "turns", float64(one.done.Load())/turn.Quantum, 4*float64(time.Second/quantum), 0.01)
}

// TestWaitIsBounded lets somebody who comes now and then wait for no more than
// the turns under way, however many there are who wait.
func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turn.Turns
		turns.SetMost(1)
		var greedy, rare turn.Share
		end := time.Now().Add(time.Second)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for turns.Begin(&greedy); time.Now().Before(end); turns.Next(&greedy, turn.Quantum) {
					<-time.After(quantum)
				}
				turns.End(&greedy, 0)
			})
		}
		longest := time.Duration(0)
		for time.Now().Before(end) {
			<-time.After(7 * quantum / 3)
			asked := time.Now()
			turns.Begin(&rare)
			longest = max(longest, time.Since(asked))
			turns.End(&rare, 1)
		}
		wg.Wait()
		if longest > 2*quantum {
			t.Errorf("it waited %v for turns of %v", longest, quantum)
		}
	})
}

// TestNobodyIsLost takes turns in many goroutines at once, with real processors.
func TestNobodyIsLost(t *testing.T) {
	var turns turn.Turns
	turns.SetMost(3)
	shares := make([]turn.Share, 5)
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			for range 500 {
				if i%2 == 0 || !turns.Try() {
					turns.Begin(&shares[i%len(shares)])
				}
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				inside.Add(-1)
				turns.End(&shares[i%len(shares)], i)
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 {
		t.Errorf("%d had a turn at once, of 3", most.Load())
	}
}

// TestTryDoesNotWait takes a turn only while one is free, and says when others
// wait.
func TestTryDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turn.Turns
		var s turn.Share
		turns.SetMost(2)
		for i, want := range []bool{true, true, false} {
			if turns.Try() != want {
				t.Errorf("turn %d of two: to be had is %t", i+1, !want)
			}
		}
		if turns.Wanted() {
			t.Error("a turn is wanted, and nobody waits")
		}
		var wg sync.WaitGroup
		wg.Go(func() { turns.Begin(&s) })
		synctest.Wait()
		if !turns.Wanted() {
			t.Error("no turn is wanted, and somebody waits")
		}
		turns.End(&s, 1)
		wg.Wait()
		if turns.Wanted() || turns.Try() {
			t.Error("who waited has no turn")
		}
	})
}

func BenchmarkUncontended(b *testing.B) {
	var turns turn.Turns
	var s turn.Share
	b.ReportAllocs()
	for b.Loop() {
		turns.Begin(&s)
		turns.End(&s, 1)
	}
}
