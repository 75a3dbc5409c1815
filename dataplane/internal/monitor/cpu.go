package monitor

import (
	"math"
	"sync"
	"time"
)

// cpuMeter tells how much processor time is used of late: between two questions
// that are at least cpuWindow apart. It costs nothing while nobody asks.
type cpuMeter struct {
	mu   sync.Mutex
	last time.Time     // guarded by mu, as is all below
	used time.Duration // up to last
	rate float64
}

// cpuWindow is the shortest time that is averaged over, so that several callers
// see the same.
const cpuWindow = time.Second

// percent returns the use in percent of one processor, to a tenth.
func (m *cpuMeter) percent(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if past := now.Sub(m.last); past >= cpuWindow {
		used := ProcessorTime()
		m.rate = math.Round(1000*(used-m.used).Seconds()/past.Seconds()) / 10
		m.last, m.used = now, used
	}
	return m.rate
}
