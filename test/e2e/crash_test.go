package e2e_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestKilledUnderTrafficEverythingComesBack kills the process while clients
// publish; after a restart on the same port they carry on by themselves.
func TestKilledUnderTrafficEverythingComesBack(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme, globex := h.signUp("acme"), h.signUp("globex")
	h.covey("--context", "acme", "account", "create", "orders")

	reconnected := make(chan struct{}, 16) // more than a test reconnects
	forever := []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond),
		nats.ReconnectHandler(func(*nats.Conn) { reconnected <- struct{}{} }),
	}
	nc := b.connect(acme.CredsFile, forever...)
	var received atomic.Int64
	if _, err := nc.Subscribe("traffic", func(*nats.Msg) { received.Add(1) }); err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				_ = nc.Publish("traffic", []byte("x")) // the buffer may be full while it is down
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	eventually(t, "traffic flows", func() bool { return received.Load() > 100 })

	b.kill()
	b = h.up(samePorts(t, b.ready)...)
	select {
	case <-reconnected:
	case <-time.After(patience):
		t.Fatal("the client did not reconnect")
	}
	before := received.Load()
	eventually(t, "traffic flows again", func() bool { return received.Load() > before+100 })

	if list := h.covey("--context", "acme", "account", "list"); !strings.Contains(list, "orders") {
		t.Errorf("accounts after the restart: %s", list)
	}
	if list := h.covey("--context", b.AdminContext, "org", "list"); !strings.Contains(list, "acme") || !strings.Contains(list, "globex") {
		t.Errorf("organizations after the restart: %s", list)
	}
	other := b.connect(globex.CredsFile)
	sub := subscribe(t, other, "own", "")
	publish(t, other, "own", "yes")
	next(t, sub)
}
