package monitor

import (
	"syscall"
	"time"
)

// cpuPercent is the processor time used since the start, in percent of one
// processor.
func cpuPercent(since time.Duration) float64 {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil || since <= 0 {
		return 0
	}
	used := time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	return 100 * used.Seconds() / since.Seconds()
}
