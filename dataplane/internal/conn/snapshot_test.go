package conn

import (
	"sync"
	"testing"
)

// What is done under the lock that connects and disconnects wait for.
func BenchmarkSnapshotOf100000(b *testing.B) {
	h := &Host{clients: make([]*Client, 100_000)}
	all := make([]*Client, len(h.clients))
	for b.Loop() {
		if n, _, ok := h.copyTo(all); !ok || n != len(all) {
			b.Fatal("not all are there")
		}
	}
}

// A snapshot has everybody who was there all the time, however many come and go.
func TestSnapshotsAreWhole(t *testing.T) {
	h := &Host{}
	o := DefaultOptions()
	o.MaxConnections = 0
	h.SetOptions(o)
	stays := &Client{host: h}
	if r := h.add(stays); r != nil {
		t.Fatal(r)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for range 20_000 {
			if r := h.add(&Client{host: h}); r != nil {
				t.Error(r)
				return
			}
		}
	})
	for last := 0; last < 20_001; {
		seen := make(map[uint64]bool)
		all := h.Clients()
		for _, c := range all {
			if c == nil || seen[c.id] {
				t.Fatalf("one of %d is there twice, or nobody", len(all))
			}
			seen[c.id] = true
		}
		if !seen[stays.id] || len(all) < last {
			t.Fatalf("%d of at least %d", len(all), last)
		}
		last = len(all)
	}
}
