package meter

import (
	"testing"

	"pgregory.net/rapid"
)

// The vector of docs/formats/usage-file.md; the ledger is tested with the same.
func TestDigestVector(t *testing.T) {
	var d Digest
	d.Replace(&Series{Account: "AA", Class: "standard", Window: 3600, Counts: Counts{1, 2, 0, 1 << 40}}, Counts{})
	if want := (Digest{Series: 3, Total: 3 + 1<<40, Hash: digestVector}); d != want {
		t.Errorf("digest %+v, want %+v (hash %#x)", d, want, d.Hash)
	}
}

const digestVector = 0x52e1d3717129b65a

func TestDigestDependsOnTheStateOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.Custom(func(t *rapid.T) (c Counts) {
			for i := range c {
				c[i] = rapid.Uint64Range(0, 3).Draw(t, "count")
			}
			return c
		})
		state := make(map[string]Counts)
		var stepwise Digest
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			key := rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "account")
			next := counts.Draw(t, "counts")
			stepwise.Replace(&Series{Account: key, Class: "standard", Counts: next}, state[key])
			state[key] = next
		}
		var fresh Digest
		for key, c := range state {
			fresh.Replace(&Series{Account: key, Class: "standard", Counts: c}, Counts{})
		}
		if stepwise != fresh {
			t.Fatalf("stepwise %+v, fresh %+v", stepwise, fresh)
		}
	})
}
