package planes_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const brokerPrefix = "/covey/v1/fleet/broker/"

// Times are the figures of one kind of call, in milliseconds.
type Times struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// timer collects how long calls took.
type timer struct {
	mu   sync.Mutex
	took []time.Duration // guarded by mu
}

func (t *timer) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.took = append(t.took, d)
}

func (t *timer) times() Times {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.took) == 0 {
		return Times{}
	}
	slices.Sort(t.took)
	at := func(part float64) float64 {
		return float64(t.took[int(part*float64(len(t.took)-1))].Microseconds()) / 1000
	}
	return Times{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// acks tells when the last broker has acknowledged a change, from the records of
// the brokers in etcd: then the change is enforced for whoever asks.
type acks struct {
	timer

	mu      sync.Mutex
	acked   map[string]int64    // by broker
	waiting map[int64]time.Time // when the write of a revision began
	passed  int64               // what all have acknowledged
}

// watchAcks follows the brokers' records until the test ends.
func watchAcks(tb testing.TB, etcd *clientv3.Client, brokers int) *acks {
	tb.Helper()
	a := &acks{acked: map[string]int64{}, waiting: map[int64]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	events := etcd.Watch(ctx, brokerPrefix, clientv3.WithPrefix())
	var wg sync.WaitGroup
	wg.Go(func() {
		for r := range events {
			for _, e := range r.Events {
				var record struct {
					AckedRevision int64 `json:"acked_revision"`
				}
				if err := json.Unmarshal(e.Kv.Value, &record); err != nil {
					tb.Error(err)
				}
				a.note(string(e.Kv.Key), record.AckedRevision, brokers)
			}
		}
	})
	tb.Cleanup(func() { cancel(); wg.Wait() })
	return a
}

func (a *acks) note(broker string, revision int64, brokers int) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acked[broker] = revision
	if len(a.acked) < brokers {
		return
	}
	least := revision
	for _, r := range a.acked {
		least = min(least, r)
	}
	a.passed = max(a.passed, least)
	for r, began := range a.waiting {
		if r <= a.passed {
			a.add(now.Sub(began))
			delete(a.waiting, r)
		}
	}
}

// wrote notes a change that began then and got the revision.
func (a *acks) wrote(revision int64, began time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if revision <= a.passed {
		a.add(time.Since(began))
		return
	}
	a.waiting[revision] = began
}

func (a *acks) open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.waiting)
}

// reset begins a new count.
func (a *acks) reset() {
	a.timer.mu.Lock()
	defer a.timer.mu.Unlock()
	a.took = nil
}
