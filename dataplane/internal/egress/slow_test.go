package egress_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/dataplane/internal/egress"
)

// fill publishes messages of 1 KiB until the connection holds n bytes.
func fill(c *egress.Conn, pub *publisher, n int64) {
	for seq := 0; c.Pending() < n; seq++ {
		pub.begin()
		pub.publish(c, "s", pattern(0, seq, 1<<10))
		pub.batch.Flush(nil)
	}
}

func TestTooManyPendingBytes(t *testing.T) {
	near, _ := pair(t, 16<<10)
	var slots egress.Slots
	failed := make(chan egress.Reason, 8)
	c := newConn(near, &slots, &egress.Limits{MaxPending: 1 << 20, WriteDeadline: patience}, failed)
	defer c.Close()
	var pub publisher
	defer pub.end()
	fill(c, &pub, 1<<20)
	for range 2000 {
		pub.begin()
		pub.publish(c, "s", make([]byte, 1<<10))
		pub.batch.Flush(nil)
	}
	if r := <-failed; r != egress.SlowConsumerPending {
		t.Errorf("reason = %d", r)
	}
	if got := c.Pending(); got > 1<<20+70<<10 {
		t.Errorf("%d bytes are pending, with a limit of 1 MiB", got)
	}
	c.Control([]byte(strings.Repeat("x", 100)))
	if len(failed) > 0 {
		t.Error("it failed twice")
	}
}

// TestPublishersWaitOrSkip lets publishers wait for a connection that has nearly
// too much; or the connection loses what they publish, until it has less.
func TestPublishersWaitOrSkip(t *testing.T) {
	for _, skip := range []bool{false, true} {
		near, far := pair(t, 16<<10)
		var slots egress.Slots
		var noStall atomic.Bool
		noStall.Store(skip)
		limits := &egress.Limits{MaxPending: 1 << 20, WriteDeadline: patience, NoStall: &noStall}
		c := newConn(near, &slots, limits, make(chan egress.Reason, 1))
		defer c.Close()
		var pub publisher
		defer pub.end()
		fill(c, &pub, 700<<10)
		if c.Flags.Load() != 0 || pub.batch.Stalls() {
			t.Errorf("skip %v: with 700 KiB the flags are %b", skip, c.Flags.Load())
		}
		fill(c, &pub, 800<<10)
		if got := c.Flags.Load() == egress.Slow; got != skip || pub.batch.Stalls() == skip {
			t.Errorf("skip %v: the flags are %b, publishers wait %v", skip, c.Flags.Load(), pub.batch.Stalls())
		}
		newPeer(t, far).read()
		eventually(t, "the backlog is gone", func() bool { return c.Pending() == 0 })
		if c.Flags.Load() != 0 {
			t.Errorf("skip %v: without a backlog the flags are %b", skip, c.Flags.Load())
		}
	}
}

func TestControlLinesAreBoundedToo(t *testing.T) {
	near, _ := pair(t, 16<<10)
	var slots egress.Slots
	failed := make(chan egress.Reason, 8)
	c := newConn(near, &slots, &egress.Limits{MaxPending: 64 << 10, WriteDeadline: patience}, failed)
	defer c.Close()
	line := []byte(strings.Repeat("x", 1<<10) + "\r\n")
	for len(failed) == 0 {
		c.Control(line)
	}
	if r := <-failed; r != egress.SlowConsumerPending {
		t.Errorf("reason = %d", r)
	}
}

func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		var slots egress.Slots
		failed := make(chan egress.Reason, 8)
		c := newConn(near, &slots, &egress.Limits{MaxPending: 1 << 20, WriteDeadline: 3 * time.Second}, failed)
		begin := time.Now()
		c.Control([]byte("PING\r\n"))
		if r := <-failed; r != egress.SlowConsumerDeadline || time.Since(begin) != 3*time.Second {
			t.Errorf("reason %d after %v", r, time.Since(begin))
		}
		c.Close()
	})
}

func TestWriteDeadlineOfASocket(t *testing.T) {
	near, _ := pair(t, 16<<10)
	var slots egress.Slots
	failed := make(chan egress.Reason, 8)
	c := newConn(near, &slots, &egress.Limits{MaxPending: 1 << 30, WriteDeadline: 30 * time.Millisecond}, failed)
	var pub publisher
	defer pub.end()
	for range 4000 {
		pub.begin()
		pub.publish(c, "s", make([]byte, 1<<10))
		pub.batch.Flush(nil)
	}
	if r := <-failed; r != egress.SlowConsumerDeadline {
		t.Errorf("reason = %d", r)
	}
	c.Close()
}

func TestWriteError(t *testing.T) {
	near, far := pair(t, 0)
	var slots egress.Slots
	failed := make(chan egress.Reason, 8)
	c := newConn(near, &slots, roomy(), failed)
	defer c.Close()
	_ = far.SetLinger(0)
	_ = far.Close()
	for len(failed) == 0 {
		c.Control([]byte("PING\r\n"))
	}
	if r := <-failed; r != egress.WriteError {
		t.Errorf("reason = %d", r)
	}
}

// Control lines overtake what is queued, and never cut a message in two.
func TestControlOvertakesAtFrameBoundaries(t *testing.T) {
	near, far := pair(t, 16<<10)
	reader := newPeer(t, far)
	var slots egress.Slots
	c := newConn(near, &slots, roomy(), make(chan egress.Reason, 1))
	var pub publisher
	defer pub.end()
	fill(c, &pub, 2<<20)
	pub.begin()
	for seq := range 10 {
		pub.publish(c, "s", pattern(0, seq, 90<<10)) // in several segments
	}
	pub.batch.Flush(nil)
	backlog := int(c.Pending())
	const lines = 40
	for i := range lines {
		if i == 1 {
			reader.read()
		}
		before := reader.len()
		c.Control([]byte("PING\r\n"))
		if i > 0 {
			eventually(t, "some progress", func() bool { return reader.len() > before || c.Pending() == 0 })
		}
	}
	c.Finish(patience)
	c.Close()
	stream := reader.all()
	all, left := frames(stream)
	pings := 0
	for _, f := range all {
		if f.body == nil {
			if f.line != "PING" {
				t.Fatalf("a message was cut in two by %q at %d", f.line, f.at)
			}
			if pings++; pings == 1 && f.at > backlog/2 {
				t.Errorf("the first PING came behind %d bytes of %d", f.at, backlog)
			}
		}
	}
	if pings != lines || left != 0 {
		t.Errorf("%d control lines came, want %d; %d bytes left over", pings, lines, left)
	}
}

func TestControlStagedWithMessagesKeepsItsPlace(t *testing.T) {
	near, far := pair(t, 0)
	reader := newPeer(t, far)
	reader.read()
	var slots egress.Slots
	c := newConn(near, &slots, roomy(), make(chan egress.Reason, 1))
	var pub publisher
	defer pub.end()
	pub.begin()
	pub.publish(c, "a", nil)
	pub.batch.Control(c, "PONG\r\n")
	pub.publish(c, "b", nil)
	pub.batch.Flush(c)
	pub.begin()
	pub.batch.Control(c, "PONG\r\n")
	pub.batch.Flush(c)
	c.Close()
	if got, want := string(reader.all()), "MSG a 1 0\r\n\r\nPONG\r\nMSG b 1 0\r\n\r\nPONG\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Publishers wait for a destination that is nearly full, for a bounded time.
func TestStallIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slots egress.Slots
		limits := &egress.Limits{MaxPending: 1 << 20, WriteDeadline: time.Hour}
		var pub publisher
		defer pub.end()
		var conns []*egress.Conn
		for range 5 {
			near, far := net.Pipe()
			defer far.Close()
			c := newConn(near, &slots, limits, make(chan egress.Reason, 1))
			defer c.Close()
			fill(c, &pub, 700<<10)
			pub.batch.Stall() // nobody is full yet
			if c.Stalls() != 0 {
				t.Error("a publisher waited for a destination with room")
			}
			conns = append(conns, c)
		}
		pub.begin()
		for i := range 100 {
			for _, c := range conns {
				pub.publish(c, "s", pattern(0, i, 1<<10))
			}
		}
		pub.batch.Flush(nil)
		begin := time.Now()
		pub.batch.Stall()
		if waited := time.Since(begin); waited != 10*time.Millisecond {
			t.Errorf("waited %v for five full destinations, want 10 ms", waited)
		}
		if conns[0].Stalls() == 0 {
			t.Error("no stall is counted")
		}
		begin = time.Now()
		pub.batch.Stall()
		if time.Since(begin) != 0 {
			t.Error("waited again without a reason")
		}
	})
}

func TestStallEndsWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slots egress.Slots
		near, far := net.Pipe()
		c := newConn(near, &slots, &egress.Limits{MaxPending: 1 << 20, WriteDeadline: time.Hour}, make(chan egress.Reason, 1))
		var pub publisher
		defer pub.end()
		fill(c, &pub, 900<<10)
		reader := newPeer(t, far)
		reader.read()
		begin := time.Now()
		pub.batch.Stall()
		if time.Since(begin) != 0 {
			t.Errorf("waited %v though the peer reads", time.Since(begin))
		}
		c.Close()
		reader.all()
	})
}

func TestFinishIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slots egress.Slots
		near, far := net.Pipe()
		defer far.Close()
		c := newConn(near, &slots, roomy(), make(chan egress.Reason, 1))
		c.Control([]byte("PING\r\n"))
		begin := time.Now()
		c.Finish(time.Second)
		if time.Since(begin) != time.Second {
			t.Errorf("Finish took %v", time.Since(begin))
		}
		c.Close()
		begin = time.Now()
		c.Finish(time.Second)
		if time.Since(begin) != 0 {
			t.Error("Finish waits for a closed connection")
		}
	})
}
