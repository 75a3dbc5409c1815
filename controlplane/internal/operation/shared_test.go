package operation_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/controlplane/internal/operation"
)

// slowFleet has taken in one more acknowledgement each time it is read.
type slowFleet struct {
	reads atomic.Int64
	now   *atomic.Int64 // the revision that brokers have acknowledged
	err   error
}

func (f *slowFleet) Brokers(ctx context.Context) ([]operation.Broker, error) {
	f.reads.Add(1)
	at := f.now.Load()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return []operation.Broker{{AckedRevision: at}}, f.err
}

func TestWhoAsksGetsWhatWasReadSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Int64
		fleet := &slowFleet{now: &now}
		shared := &operation.Shared{Fleet: fleet}
		var all sync.WaitGroup
		for range 100 {
			now.Add(1)
			asked := now.Load()
			all.Go(func() {
				got, err := shared.Brokers(t.Context())
				if err != nil || len(got) != 1 || got[0].AckedRevision < asked {
					t.Errorf("asked at %d, got %+v, %v", asked, got, err)
				}
			})
			<-time.After(100 * time.Millisecond)
		}
		all.Wait()
		if n := fleet.reads.Load(); n > 12 {
			t.Errorf("%d reads of a second each for questions within ten seconds", n)
		}
	})
}

func TestWhoGoesAwaySpoilsNothingForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Int64
		fleet := &slowFleet{now: &now, err: errors.New("no store")}
		shared := &operation.Shared{Fleet: fleet}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _, _ = shared.Brokers(ctx) })
		synctest.Wait()
		cancel()
		all.Go(func() {
			if _, err := shared.Brokers(t.Context()); !errors.Is(err, fleet.err) {
				t.Errorf("got %v, want what the store said", err)
			}
		})
		all.Wait()
		fleet.err = nil
		if _, err := shared.Brokers(t.Context()); err != nil {
			t.Errorf("an error stays: %v", err)
		}
	})
}
