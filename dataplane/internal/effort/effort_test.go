package effort_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/dataplane/internal/effort"
)

func TestNoMoreThanTheGateHasRoomForWorkAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := effort.NewGate(2)
		var inside, most, done atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				g.Do(func() {
					most.Store(max(most.Load(), inside.Add(1)))
					<-time.After(time.Millisecond)
					inside.Add(-1)
				})
				done.Add(1)
			})
		}
		wg.Wait()
		if most.Load() != 2 || done.Load() != 20 {
			t.Fatalf("%d at once, %d in all", most.Load(), done.Load())
		}
	})
}

func TestAPanicLeavesTheGate(t *testing.T) {
	g := effort.NewGate(0) // one, at least
	func() {
		defer func() { _ = recover() }()
		g.Do(func() { panic("a fault of whoever works") })
	}()
	entered := false
	g.Do(func() { entered = true })
	if !entered {
		t.Fatal("nobody gets in any more")
	}
}
