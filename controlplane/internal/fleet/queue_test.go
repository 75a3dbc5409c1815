package fleet

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// A watermark must not be taken before the claims that it covers, whatever the
// interleaving of puts and takes, and the latest claims win.
func TestQueueNeverLetsAWatermarkOvertake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue("b")
		put, taken := make(map[string]int64), make(map[string]int64)
		revision, sent := int64(0), int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				revision++
				account := fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "account"))
				q.putClaims(account, claims{jwt: "x", revision: revision})
				put[account] = revision
			case 1:
				q.putWatermark(revision)
			case 2:
				o := q.take()
				for account, c := range o.pending {
					if c.revision < taken[account] {
						t.Fatalf("%s went back from %d to %d", account, taken[account], c.revision)
					}
					taken[account] = c.revision
				}
				sent = max(sent, o.watermark)
			}
			for account, r := range put {
				if r <= sent && taken[account] < r {
					t.Fatalf("watermark %d taken, but %s only up to %d of %d", sent, account, taken[account], r)
				}
			}
		}
	})
}

func TestQueueOverflowBecomesResync(t *testing.T) {
	q := newQueue("b")
	for i := range pendingMax + 1 {
		q.putClaims(fmt.Sprint(i), claims{revision: int64(i)})
	}
	q.putWatermark(pendingMax)
	o := q.take()
	if !o.resync || len(o.pending) != 0 || o.watermark != pendingMax {
		t.Errorf("take after overflow = resync %v, %d pending, watermark %d", o.resync, len(o.pending), o.watermark)
	}
	if o := q.take(); o.resync || o.watermark != 0 {
		t.Errorf("second take = %+v, want nothing", o)
	}
}

func TestFeedForgetsWhatMayHaveChanged(t *testing.T) {
	f := newFeed(nil, nil)
	f.revision = 10
	f.remember("A", claims{jwt: "old", revision: 3}, 9) // read before what the feed has seen
	if _, ok := f.recall("A", 0); ok {
		t.Error("claims read before the feed's position are remembered")
	}
	f.remember("A", claims{jwt: "x", revision: 3}, 12)
	if c, ok := f.recall("A", 12); !ok || c.jwt != "x" {
		t.Errorf("recall = %+v, %v; want what was remembered", c, ok)
	}
	if _, ok := f.recall("A", 13); ok {
		t.Error("claims read at 12 are current at 13")
	}
	f.restart(12, claims{}, nil)
	if _, ok := f.recall("A", 0); ok {
		t.Error("claims are remembered across a gap in the watch")
	}
	for i := range rememberedMax + 10 {
		f.remember(fmt.Sprint(i), claims{}, 12)
	}
	if n := len(f.remembered); n > rememberedMax {
		t.Errorf("%d accounts remembered, want at most %d", n, rememberedMax)
	}
}
