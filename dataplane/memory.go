package dataplane

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"syscall"

	"github.com/coveymq/covey/accounts"
)

// backlogShare is which part of the memory the connections of one account may
// have waiting together, unless a limit says otherwise.
const backlogShare = 4

// defaultLimits completes the limits of accounts that do not state their own.
func defaultLimits(q accounts.Quotas) accounts.Quotas {
	return q.Or(accounts.Quotas{accounts.PendingBytes: {Amount: memory() / backlogShare, Policy: accounts.Close}})
}

// memory returns how many bytes the process may have at most, by its group or
// by the machine.
func memory() int64 {
	most := int64(math.MaxInt64)
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		most = int64(min(info.Totalram*uint64(info.Unit), math.MaxInt64)) //nolint:gosec // bounded
	}
	for _, file := range [...]string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err == nil && n > 0 {
			most = min(most, n)
		}
	}
	return most
}
