package controlplane

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	garbageEvery = 2 * time.Second // how often the live heap is looked at

	// Live memory up to this much may have as much garbage again, as is Go's way;
	// above it the garbage stays what it is here until it would be less than a part of
	// the heap: collecting more often than that costs more than the memory is worth.
	garbageMost = 128 << 20
	percentMost = 100
	percentMin  = 35
)

// garbagePercent is how much garbage beside a live heap is put up with, in percent
// of it. The etcd in the process holds each key of the store in the heap, so that an
// installation's accounts are live memory: as much again would be for nothing.
func garbagePercent(live uint64) int {
	if live <= garbageMost {
		return percentMost
	}
	return max(int(garbageMost*100/live), percentMin) //nolint:gosec // at most 100
}

// BoundGarbage keeps this process's garbage within bounds until ctx ends, unless its
// environment says itself, by GOGC, how much there may be. It is for a process that
// is a control plane and nothing else.
func BoundGarbage(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	before := debug.SetGCPercent(percentMost)
	defer debug.SetGCPercent(before)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	every := time.NewTicker(garbageEvery)
	defer every.Stop()
	percent := percentMost
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		metrics.Read(live)
		if p := garbagePercent(live[0].Value.Uint64()); p != percent {
			percent = p
			debug.SetGCPercent(p) // stops everybody for a moment: only when it changed
		}
	}
}
