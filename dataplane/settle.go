package dataplane

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	settleTick = 500 * time.Millisecond
	// waveMin is from how many connections on there is something to give back.
	waveMin = 256
	// settleRest is the least time between two of what costs two collections.
	settleRest = 30 * time.Second
)

// settle gives the memory back that the start needed, and that a wave of
// connections needed to connect: what handshakes leave behind, deep stacks and
// buffers. The collector would
// keep as much again as the connections themselves hold, for as long as they
// are idle.
func (b *Broker) settle(ctx context.Context) error {
	t := time.NewTicker(settleTick)
	defer t.Stop()
	var w wave
	b.cfg.Logger.Debug("pages of the program released", "bytes", releaseProgram())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-t.C:
			if w.over(b.host.Totals.Connections.Load(), now) {
				runtime.GC() // twice: a stack shrinks, and a pool lets go, in two steps
				debug.FreeOSMemory()
			}
		}
	}
}

// wave sees when many connections have come and few more are coming.
type wave struct {
	last  uint64 // connections at the last tick
	given uint64 // connections when memory was last given back
	when  time.Time
}

// over is asked at every tick, with all connections that there ever were.
func (w *wave) over(total uint64, now time.Time) bool {
	came, since := total-w.last, total-w.given
	w.last = total
	if since < waveMin || came > since/16 || now.Sub(w.when) < settleRest {
		return false
	}
	w.given, w.when = total, now
	return true
}
