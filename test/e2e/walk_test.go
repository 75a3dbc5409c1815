package e2e_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// witness is a client that publishes numbers for as long as it lives, and checks
// that it gets every number that every witness of the same step publishes.
type witness struct {
	t    *testing.T
	name string
	nc   *nats.Conn
	sub  *nats.Subscription

	next map[string]int // by subject: what has to come; owned by the subscription's goroutine
	sent int            // owned by publish
	gaps atomic.Int64
	got  atomic.Int64
	lost atomic.Bool // the connection ended
}

func newWitness(t *testing.T, step int, n *node) *witness {
	t.Helper()
	w := &witness{t: t, name: fmt.Sprintf("walk.%d.%s", step, nats.NewInbox()[7:]), next: make(map[string]int)}
	var err error
	// Whoever stays must not even notice.
	w.nc, err = nats.Connect(n.url, nats.Timeout(patience), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { w.lost.Store(true) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.nc.Close)
	w.sub, err = w.nc.Subscribe(fmt.Sprintf("walk.%d.*", step), func(m *nats.Msg) {
		i, err := strconv.Atoi(string(m.Data))
		if err != nil {
			return
		}
		if want, known := w.next[m.Subject]; known && i != want {
			w.gaps.Add(1)
		}
		w.next[m.Subject] = i + 1
		w.got.Add(1)
	})
	if err != nil {
		t.Fatal(err)
	}
	flush(t, w.nc)
	return w
}

// publish publishes until stop is closed.
func (w *witness) publish(stop <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			_ = w.nc.FlushTimeout(patience) // a lost connection is noted elsewhere
			return
		case <-tick.C:
		}
		if err := w.nc.Publish(w.name, []byte(strconv.Itoa(w.sent))); err != nil {
			w.t.Errorf("publish at %s: %v", w.name, err)
			return
		}
		w.sent++
	}
}

// The walk of docs/clustering.md: three nodes of stock nats-server become three
// Covey brokers, one after the other, with the configuration that they have. All
// the while clients publish at every node that stays and miss nothing of each
// other, and a client of the node that leaves goes on at another one.
func TestWalkFromStockToCovey(t *testing.T) {
	nodes := clusterOf(t, 3, "")
	for _, n := range nodes {
		n.run("nats-server")
	}
	for _, n := range nodes {
		n.knows(2)
	}
	for step, leaving := range nodes {
		var witnesses []*witness
		for _, n := range nodes {
			if n != leaving {
				witnesses = append(witnesses, newWitness(t, step, n))
			}
		}
		for _, w := range witnesses {
			reached(t, w.nc, witnesses[0].nc)
			reached(t, w.nc, witnesses[1].nc)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for _, w := range witnesses {
			wg.Go(func() { w.publish(stop) })
		}
		replace(t, nodes, leaving, witnesses[0].nc)
		close(stop)
		wg.Wait()
		total := int64(0)
		for _, w := range witnesses {
			total += int64(w.sent)
		}
		for _, w := range witnesses {
			eventually(t, "everything that was published", func() bool { return w.got.Load() >= total })
			if w.gaps.Load() > 0 || w.got.Load() != total || w.lost.Load() {
				t.Errorf("step %d: got %d of %d, with %d gaps; connection lost: %t", step, w.got.Load(), total, w.gaps.Load(), w.lost.Load())
			}
			w.nc.Close()
		}
		t.Logf("step %d: %d messages to each of %d who stayed, none missed", step, total, len(witnesses))
	}
	for _, n := range nodes {
		if text := n.log.String(); !strings.Contains(text, "covey-broker") {
			t.Errorf("a node is no covey-broker:\n%s", tail(text, 5))
		}
	}
}

// replace lets a node leave as a lame duck and starts a broker of ours in its
// place. A client that was there must be reached again at another node.
func replace(t *testing.T, nodes []*node, leaving *node, other *nats.Conn) {
	t.Helper()
	moving, err := nats.Connect(leaving.url, nats.Timeout(patience), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer moving.Close()
	eventually(t, "the client knows all nodes", func() bool { return len(moving.Servers()) == len(nodes) })
	reached(t, other, moving)
	leaving.leave(syscall.SIGUSR2)
	eventually(t, "the client is at another node", func() bool {
		u := moving.ConnectedUrl()
		return moving.IsConnected() && u != "" && u != leaving.url
	})
	reached(t, other, moving)
	leaving.run("covey-broker")
	for _, n := range nodes {
		n.knows(len(nodes) - 1)
	}
	back, err := nats.Connect(leaving.url, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	reached(t, other, back)
	reached(t, back, moving)
}
