package gcpace

import (
	"context"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

// process is a process as a pace sees it.
type process struct {
	live, allocated atomic.Uint64
	collected       chan struct{}

	mu  sync.Mutex
	set []int // guarded by mu
}

func (p *process) heap() (live, allocated uint64) { return p.live.Load(), p.allocated.Load() }

func (p *process) grow(percent int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = append(p.set, percent)
	return 0
}

// paced runs a test with a pace of 50 percent, on a clock of its own.
func paced(t *testing.T, test func(t *testing.T, p *process)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &process{collected: make(chan struct{})}
		p.live.Store(10 << 20)
		pace := &pace{base: 50, percent: 50, set: p.grow, heap: p.heap}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { pace.run(ctx, p.collected) })
		test(t, p)
		cancel()
		running.Wait()
	})
}

// pass lets time pass, and what was to happen then happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// collect lets n collections happen, each so long after the one before.
func (p *process) collect(n int, every time.Duration) {
	for range n {
		pass(every)
		p.allocated.Add(p.live.Load() / 2)
		p.collected <- struct{}{}
		synctest.Wait()
	}
}

func (p *process) expect(t *testing.T, want ...int) {
	t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.set, want) {
		t.Errorf("set to %v, not %v", p.set, want)
	}
}

func TestSeldomCollectionsChangeNothing(t *testing.T) {
	paced(t, func(t *testing.T, p *process) {
		p.collect(100, often+time.Millisecond)
		p.expect(t)
	})
}

func TestFrequentCollectionsLetTheHeapGrowUntilItIsCalm(t *testing.T) {
	paced(t, func(t *testing.T, p *process) {
		p.collect(20, often/10)
		p.expect(t, frequent)
		for range 10 { // seldom, but much is allocated
			pass(look)
			p.allocated.Add(calm)
		}
		p.expect(t, frequent)
		pass(2 * look)
		p.expect(t, frequent, 50)
		pass(time.Hour)
		p.expect(t, frequent, 50)
		p.collect(2, often/10)
		p.expect(t, frequent, 50, frequent)
	})
}

func TestALargeHeapGrowsByNoMoreThanTheBound(t *testing.T) {
	paced(t, func(t *testing.T, p *process) {
		p.live.Store(64 << 20)
		p.collect(10, often/10)
		p.expect(t, 100)
		p.live.Store(1 << 30)
		p.collect(10, often/10)
		p.expect(t, 100, 50)
	})
}

// TestTheRuntimeObeys makes garbage and stops.
func TestTheRuntimeObeys(t *testing.T) {
	stop := Start(t.Context(), 50)
	defer stop()
	deadline := time.Now().Add(time.Minute)
	var keep []byte
	for percent() != frequent {
		if time.Now().After(deadline) {
			t.Fatalf("with much garbage it is %d %%", percent())
		}
		keep = make([]byte, 64<<10)
	}
	_ = keep
	tick := time.NewTicker(look / 5)
	defer tick.Stop()
	for percent() != 50 {
		if time.Now().After(deadline) {
			t.Fatalf("without garbage it is %d %%", percent())
		}
		<-tick.C
	}
	stop()
	if got := percent(); got != 100 { // Go's own, which was before
		t.Errorf("afterwards it is %d %%", got)
	}
}

func percent() int {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64()) //nolint:gosec // small
}
