package egress_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/dataplane/internal/egress"
)

// crowd is connections of one account.
type crowd struct {
	budget egress.Budget
	slots  egress.Slots
	pub    publisher
	conns  []*egress.Conn
	fars   []net.Conn
	failed []chan egress.Reason
}

func newCrowd(t *testing.T, n int, most int64, drop bool) *crowd {
	t.Helper()
	w := &crowd{}
	w.budget.Set(most, drop)
	for range n {
		near, far := pair(t, 16<<10)
		failed := make(chan egress.Reason, 8)
		c := newConn(near, &w.slots, &egress.Limits{MaxPending: 64 << 20, WriteDeadline: patience}, failed)
		c.SetBudget(&w.budget)
		w.conns, w.fars, w.failed = append(w.conns, c), append(w.fars, far), append(w.failed, failed)
	}
	t.Cleanup(func() {
		for _, c := range w.conns {
			c.Close()
		}
		w.pub.end()
		if used := w.budget.Used(); used != 0 {
			t.Errorf("%d bytes are counted after all connections are closed", used)
		}
	})
	return w
}

// add publishes messages of 1 KiB to one connection until the budget holds n.
func (w *crowd) add(i int, n int64) {
	for seq := 0; w.budget.Used() < n; seq++ {
		w.send(i, seq)
	}
}

func (w *crowd) send(i, seq int) {
	w.pub.begin()
	w.pub.publish(w.conns[i], "s", pattern(0, seq, 1<<10))
	w.pub.batch.Flush(nil)
}

// TestBudgetTakesTheLargest closes the connection with the largest backlog, not
// the one that happens to be sent to, and only as many as must go.
func TestBudgetTakesTheLargest(t *testing.T) {
	w := newCrowd(t, 3, 1<<20, false)
	w.add(0, 300<<10)
	w.add(1, 900<<10)
	w.add(2, 1<<20)
	w.send(2, 1)
	if r := <-w.failed[1]; r != egress.SlowConsumerBudget {
		t.Errorf("reason %d", r)
	}
	w.conns[1].Flags.Or(egress.Closed)
	for i := range 100 {
		w.send(2, i)
	}
	if len(w.failed[0])+len(w.failed[2]) > 0 {
		t.Error("another one had to go")
	}
	w.conns[1].Flags.Or(egress.Closed)
	if _, err := io.CopyN(io.Discard, w.fars[0], 100<<10); err != nil {
		t.Error(err)
	}
}

// TestBudgetDrops keeps messages from the largest until half of its backlog is
// gone.
func TestBudgetDrops(t *testing.T) {
	w := newCrowd(t, 2, 1<<20, true)
	w.add(0, 100<<10)
	w.add(1, 1<<20+1)
	w.send(0, 0)
	if w.conns[1].Flags.Load()&egress.Full == 0 || w.conns[0].Flags.Load()&egress.Full != 0 {
		t.Fatal("it is not the largest that is full")
	}
	if len(w.failed[0])+len(w.failed[1]) > 0 {
		t.Error("a connection was closed")
	}
	buf := make([]byte, 64<<10)
	deadline := time.Now().Add(patience)
	for w.conns[1].Flags.Load()&egress.Full != 0 {
		if err := w.fars[1].SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		if _, err := w.fars[1].Read(buf); err != nil {
			t.Fatalf("it is full with %d bytes left: %v", w.conns[1].Pending(), err)
		}
	}
	if left := w.conns[1].Pending(); left > 600<<10 || left == 0 {
		t.Errorf("it was full until %d bytes were left", left)
	}
}

// TestNoBudget lets everything wait.
func TestNoBudget(t *testing.T) {
	w := newCrowd(t, 2, 0, false)
	w.add(0, 3<<20)
	if len(w.failed[0]) > 0 {
		t.Error("a connection was closed without a bound")
	}
	w.budget.Set(2<<20, false)
	w.send(1, 0)
	w.add(1, w.budget.Used()+1)
	if r := <-w.failed[0]; r != egress.SlowConsumerBudget {
		t.Errorf("reason %d", r)
	}
}

// TestWriteTimeoutPolicies has a peer that takes a little now and then: who is
// patient waits for it, and who is not gives it up.
func TestWriteTimeoutPolicies(t *testing.T) {
	for name, patient := range map[string]bool{"close": false, "retry": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				var slots egress.Slots
				failed := make(chan egress.Reason, 8)
				c := newConn(near, &slots, &egress.Limits{MaxPending: 1 << 20, WriteDeadline: 3 * time.Second, Patient: patient}, failed)
				defer c.Close()
				var pub publisher
				defer pub.end()
				pub.begin()
				pub.publish(c, "s", make([]byte, 1000))
				pub.batch.Flush(nil)
				begin := time.Now()
				buf := make([]byte, 100)
				if err := far.SetReadDeadline(begin.Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				for range 10 {
					<-time.After(time.Second)
					if _, err := far.Read(buf); err != nil {
						break
					}
				}
				synctest.Wait()
				if patient && (len(failed) > 0 || time.Since(begin) < 10*time.Second) {
					t.Errorf("reason %d after %v", <-failed, time.Since(begin))
				}
				if !patient {
					if len(failed) == 0 || <-failed != egress.SlowConsumerDeadline {
						t.Error("it was not given up")
					}
				}
			})
		})
	}
}
