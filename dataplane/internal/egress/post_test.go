package egress_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/egress"
)

// What is posted before a message is published is ahead of it, and posted lines
// keep their order, whoever writes.
func TestPostedLinesAreAheadOfWhatFollows(t *testing.T) {
	near, far := pair(t, 0)
	reader := newPeer(t, far)
	reader.read()
	var slots egress.Slots
	c := newConn(near, &slots, roomy(), make(chan egress.Reason, 1))
	var pub publisher
	defer pub.end()
	const n = 2000
	for i := range n {
		c.Post(fmt.Appendf(nil, "RS+ %d\r\n", i))
		pub.begin()
		pub.publish(c, fmt.Sprintf("m%d", i), nil)
		pub.batch.Flush(nil)
	}
	c.Finish(time.Minute)
	c.Close()
	got := reader.all()
	last := -1
	for i := range n {
		line := bytes.Index(got, fmt.Appendf(nil, "RS+ %d\r\n", i))
		message := bytes.Index(got, fmt.Appendf(nil, "MSG m%d ", i))
		if line <= last || message < line {
			t.Fatalf("line %d is at %d, the one before at %d, its message at %d", i, line, last, message)
		}
		last = line
	}
}

func TestPostIsBounded(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	var slots egress.Slots
	failed := make(chan egress.Reason, 1)
	c := newConn(near, &slots, &egress.Limits{MaxPending: 1000, WriteDeadline: time.Hour}, failed)
	defer c.Close()
	for range 100 {
		c.Post([]byte("RS+ A some.subject\r\n"))
	}
	if r := <-failed; r != egress.SlowConsumerPending {
		t.Errorf("given up for %v", r)
	}
}
