package export_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/controlplane/usagetest"
	"github.com/coveymq/covey/dataplane/internal/meter"
	"github.com/coveymq/covey/dataplane/internal/meter/export"
	"github.com/coveymq/covey/internal/testcollector"
)

// TestTotalsAreExactThroughACollectorThatIsKilled counts while everything reported goes
// through a real Collector, with an ordinary queue that says yes before anything
// is kept, and while that is killed and the receiver loses answers and restarts.
func TestTotalsAreExactThroughACollectorThatIsKilled(t *testing.T) {
	server := usagetest.Start(t)
	between := testcollector.Start(t, server.Addr())
	m, err := meter.Open(t.TempDir(), meter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := export.New(t.Context(), m, receipts{server}, export.Config{
		Endpoint: between.Addr(), Interval: 10 * time.Millisecond, Resend: 200 * time.Millisecond, Timeout: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Account(keyA)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		a.Release()
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = e.Run(ctx) })
	const rounds, each = 5, 100_000
	for round := range rounds {
		for range each {
			a.Published(1, 128)
			a.Delivered(2, 256)
		}
		waitFor(t, server.Exports()+2, server.Exports)
		switch round {
		case 1, 3:
			between.Kill()
			between.Start()
		case 2:
			server.LoseEvery(2)
			server.Stop()
			server.Start(t)
		}
	}
	server.LoseEvery(0)
	stop()
	running.Wait()
	flush(t, e)
	want := billing.AccountUsage{
		Account: keyA, Published: rounds * each, PublishedBytes: 128 * rounds * each, Delivered: 2 * rounds * each, DeliveredBytes: 256 * rounds * each,
	}
	if got := server.Total(t, keyA); got != want {
		t.Errorf("ledger has %+v, want %+v", got, want)
	}
}
