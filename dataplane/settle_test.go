package dataplane

import (
	"testing"
	"time"
)

func TestWave(t *testing.T) {
	now := time.Now()
	var w wave
	for i, step := range []struct {
		total uint64
		after time.Duration
		want  bool
	}{
		{0, 0, false},
		{100, settleTick, false}, // too few
		{100, settleTick, false},
		{1000, settleTick, false}, // still coming
		{2000, settleTick, false},
		{2010, settleTick, true},
		{2010, settleTick, false}, // once
		{5000, settleTick, false},
		{5000, settleTick, false}, // too early again
		{5000, settleRest, true},
		{5100, settleRest, false},
	} {
		now = now.Add(step.after)
		if got := w.over(step.total, now); got != step.want {
			t.Errorf("step %d: over = %v", i, got)
		}
	}
}
