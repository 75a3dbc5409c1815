package planes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Where brokers' sessions and what they acknowledged are; docs/formats/store.md.
const (
	fleetPrefix  = "/covey/v1/fleet/"
	brokerPrefix = fleetPrefix + "broker/"
	acksPrefix   = fleetPrefix + "acks/"
)

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

// acks tells when the last broker has acknowledged a change, from what is
// written in etcd: then the change is enforced for whoever asks.
type acks struct {
	timer

	mu      sync.Mutex
	session map[string]string   // by broker
	acked   map[string]int64    // by session
	waiting map[int64]time.Time // when the write of a revision began
	passed  int64               // what all have acknowledged
}

// watchAcks follows the brokers' records until the test ends.
func watchAcks(tb testing.TB, etcd *clientv3.Client, brokers int) *acks {
	tb.Helper()
	a := &acks{session: map[string]string{}, acked: map[string]int64{}, waiting: map[int64]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	events := etcd.Watch(ctx, fleetPrefix, clientv3.WithPrefix())
	var wg sync.WaitGroup
	wg.Go(func() {
		for r := range events {
			for _, e := range r.Events {
				if e.Type == clientv3.EventTypePut {
					if err := a.hear(string(e.Kv.Key), e.Kv.Value); err != nil {
						tb.Error(err)
					}
				}
			}
			a.note(brokers)
		}
	})
	tb.Cleanup(func() { cancel(); wg.Wait() })
	return a
}

// hear takes in a broker's record or a control plane's table.
func (a *acks) hear(key string, value []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if broker, ok := strings.CutPrefix(key, brokerPrefix); ok {
		var record struct {
			Session string `json:"session"`
			Acked   int64  `json:"acked_revision"`
		}
		if err := json.Unmarshal(value, &record); err != nil {
			return fmt.Errorf("read record of %s: %w", broker, err)
		}
		a.session[broker] = record.Session
		a.acked[record.Session] = max(a.acked[record.Session], record.Acked)
	}
	if plane, ok := strings.CutPrefix(key, acksPrefix); ok {
		var table struct {
			Acknowledged []struct {
				Revision int64      `json:"revision"`
				Sessions [][2]int64 `json:"sessions"`
			} `json:"acknowledged"`
		}
		if err := json.Unmarshal(value, &table); err != nil {
			return fmt.Errorf("read acknowledgements at %s: %w", plane, err)
		}
		for _, row := range table.Acknowledged {
			for _, s := range row.Sessions {
				session := fmt.Sprint(plane, "/", s[0])
				a.acked[session] = max(a.acked[session], row.Revision)
			}
		}
	}
	return nil
}

// note looks which changes all brokers have acknowledged.
func (a *acks) note(brokers int) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.session) < brokers {
		return
	}
	least := int64(math.MaxInt64)
	for _, session := range a.session {
		least = min(least, a.acked[session])
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
