package controlplane

import "testing"

func TestGarbageIsBoundedWhereMuchIsLive(t *testing.T) {
	before := 0
	for _, mb := range []uint64{1, 64, 128, 200, 256, 300, 400, 1000, 4000} {
		p := garbagePercent(mb << 20)
		garbage := int(mb) * p / 100
		if p < percentMin || p > percentMost || garbage+4 < before { // whole percents
			t.Errorf("%d MB live: %d %%, %d MB of garbage, and %d beside less", mb, p, garbage, before)
		}
		if mb >= 128 && p > percentMin && (garbage < 124 || garbage > 129) {
			t.Errorf("%d MB live: %d MB of garbage", mb, garbage)
		}
		before = garbage
	}
	if p := garbagePercent(400 << 20); p != percentMin {
		t.Errorf("400 MB live: %d %%", p)
	}
}
