//go:build unix

package monitor

import (
	"syscall"
	"time"
)

// ProcessorTime is what the process has used since its start.
func ProcessorTime() time.Duration {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
