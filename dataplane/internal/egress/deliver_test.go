package egress_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/egress"
)

// sizes lie on both sides of every boundary: copied, referred to, shared.
var sizes = []int{0, 1, 100, 2 << 10, 4<<10 - 16, 4 << 10, 12 << 10, 16<<10 - 1, 16 << 10, 64 << 10, 200 << 10}

// Everything comes whole, in order and counted, though each write is partial.
func TestOrderAndExactCounts(t *testing.T) {
	pipe := func(t *testing.T) (net.Conn, net.Conn) { return net.Pipe() }
	tcp := func(t *testing.T) (net.Conn, net.Conn) { a, b := pair(t, 16<<10); return a, b }
	wide := func(t *testing.T) (net.Conn, net.Conn) { a, b := pair(t, 0); return a, b }
	for name, open := range map[string]func(*testing.T) (net.Conn, net.Conn){"pipe": pipe, "tcp with small buffers": tcp, "tcp": wide} {
		t.Run(name, func(t *testing.T) {
			near, far := open(t)
			m, far2 := &meter{}, newPeer(t, far)
			var slots egress.Slots
			failed := make(chan egress.Reason, 1)
			c := newConn(near, &slots, roomy(), failed)
			c.SetMeter(m)
			far2.read()
			var pub publisher
			defer pub.end()
			var want bytes.Buffer
			var n, total uint64
			rng := rand.New(rand.NewPCG(7, 7))
			for batch := range 60 {
				pub.begin()
				for i := range rng.IntN(6) {
					body := pattern(0, batch*100+i, sizes[rng.IntN(len(sizes))])
					pub.publish(c, "s", body)
					fmt.Fprintf(&want, "MSG s 1 %d\r\n%s\r\n", len(body), body)
					n, total = n+1, total+uint64(len(body))
				}
				pub.batch.Flush(nil)
			}
			c.Finish(patience)
			if got := c.Pending(); got != 0 {
				t.Errorf("%d bytes are pending at rest", got)
			}
			c.Close()
			if got := far2.all(); !bytes.Equal(got, want.Bytes()) {
				t.Errorf("the peer read %d bytes that differ from the %d sent", len(got), want.Len())
			}
			m.check(t)
			if gotN, gotSize := m.counts(); gotN != n || gotSize != total || c.OutMessages.Load() != n || c.OutBytes.Load() != total {
				t.Errorf("counted %d messages of %d bytes, sent %d of %d", gotN, gotSize, n, total)
			}
			select {
			case r := <-failed:
				t.Errorf("failed for reason %d", r)
			default:
			}
		})
	}
}

// Closed at any moment, what is counted is what the peer got whole: no more than
// the kernel took, and not less.
func TestCountsWhenClosedInTheMiddle(t *testing.T) {
	for seed := range uint64(60) {
		closeInTheMiddle(t, seed)
	}
}

func closeInTheMiddle(t *testing.T, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	near, far := pair(t, 16<<10)
	m, reader := &meter{}, newPeer(t, far)
	var slots egress.Slots
	failed := make(chan egress.Reason, 1)
	c := newConn(near, &slots, roomy(), failed)
	c.SetMeter(m)
	if seed%2 == 0 {
		c.SetCrowd(egress.CrowdMax) // both let the other go first
	}
	if seed%3 == 0 {
		reader.read()
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for p := range 2 {
		prng := rand.New(rand.NewPCG(seed, uint64(p)))
		wg.Go(func() { publishUntil(stop, c, prng, p) })
	}
	moment := uint64(rng.IntN(4 << 20))
	eventually(t, "some traffic", func() bool { return c.OutBytes.Load()+uint64(c.Pending()) >= moment })
	c.Close()
	close(stop)
	wg.Wait()
	if seed%3 != 0 {
		reader.read() // what the kernel holds still comes
	}
	all, _ := frames(reader.all())
	n, size := messages(all)
	m.check(t)
	if gotN, gotSize := m.counts(); gotN != n-statuses(all) || gotSize != size-statusBytes(all) {
		t.Errorf("seed %d: counted %d messages of %d bytes, the peer got %d of %d whole", seed, gotN, gotSize, n-statuses(all), size-statusBytes(all))
	}
	if c.Pending() < 0 {
		t.Errorf("seed %d: %d bytes pending", seed, c.Pending())
	}
}

const statusFrame = "HMSG nobody 1 5 5\r\n12345\r\n"

func statuses(all []frame) (n uint64) {
	for _, f := range all {
		if f.subject == "nobody" {
			n++
		}
	}
	return n
}

func statusBytes(all []frame) uint64 { return 5 * statuses(all) }

// publishUntil publishes bodies full of what looks like frames, with control
// lines and status frames between them.
func publishUntil(stop <-chan struct{}, c *egress.Conn, rng *rand.Rand, id int) {
	var pub publisher
	defer pub.end()
	for seq := 0; ; seq++ {
		select {
		case <-stop:
			return
		default:
		}
		pub.begin()
		for range 1 + rng.IntN(5) {
			body := []byte(strings.Repeat("MSG s 1 0\r\n\r\n", sizes[rng.IntN(len(sizes))]/13))
			pub.publish(c, fmt.Sprintf("p%d", id), body)
			switch rng.IntN(4) {
			case 0:
				pub.batch.Control(c, "+OK\r\n")
			case 1:
				pub.batch.Status(c, statusFrame)
			}
		}
		pub.batch.Flush(nil)
		if c.Flags.Load()&egress.Closed != 0 || c.Pending() > 8<<20 {
			return
		}
	}
}

// Many publishers to many destinations: each destination gets each publisher's
// messages in order, and unharmed.
func TestManyPublishers(t *testing.T) {
	const publishers, destinations, batches = 4, 3, 60
	var slots egress.Slots
	failed := make(chan egress.Reason, destinations)
	var conns []*egress.Conn
	var peers []*peer
	var meters []*meter
	for i := range destinations {
		near, far := pair(t, []int{0, 16 << 10, 64 << 10}[i])
		c, m := newConn(near, &slots, roomy(), failed), &meter{}
		c.SetMeter(m)
		p := newPeer(t, far)
		p.read()
		conns, peers, meters = append(conns, c), append(peers, p), append(meters, m)
	}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(p), 1))
			var pub publisher
			defer pub.end()
			seq := 0
			for range batches {
				pub.begin()
				for range 1 + rng.IntN(4) {
					body := pattern(p, seq, sizes[rng.IntN(len(sizes)-1)])
					for _, c := range conns {
						pub.publish(c, "s", body)
					}
					seq++
				}
				pub.batch.Flush(conns[p%destinations])
			}
			for _, c := range conns {
				pub.begin()
				pub.publish(c, "last", fmt.Append(nil, seq))
				pub.batch.Flush(nil)
			}
		})
	}
	wg.Wait()
	for i, c := range conns {
		c.Finish(patience)
		c.Close()
		checkStream(t, peers[i].all(), publishers)
		all, left := frames(peers[i].all())
		n, size := messages(all)
		meters[i].check(t)
		if gotN, gotSize := meters[i].counts(); gotN != n || gotSize != size || left != 0 {
			t.Errorf("destination %d: counted %d of %d bytes, got %d of %d and %d bytes more", i, gotN, gotSize, n, size, left)
		}
	}
}

func checkStream(t *testing.T, stream []byte, publishers int) {
	t.Helper()
	next, total := make([]int, publishers), 0
	all, _ := frames(stream)
	for _, f := range all {
		if f.subject == "last" {
			var n int
			_, _ = fmt.Sscan(string(f.body), &n)
			total += n
			continue
		}
		var p, seq int
		if _, err := fmt.Sscanf(string(f.body[:min(24, len(f.body))]), "%d %d ", &p, &seq); err != nil {
			t.Fatalf("unreadable message of %d bytes at %d", len(f.body), f.at)
		}
		if want := pattern(p, seq, len(f.body)); !bytes.Equal(f.body, want) {
			t.Fatalf("message %d of publisher %d was harmed", seq, p)
		}
		if next[p] != seq {
			t.Fatalf("publisher %d: message %d came, expected %d", p, seq, next[p])
		}
		next[p]++
		total--
	}
	if total != 0 {
		t.Errorf("%d messages are missing", total)
	}
}

// A destination that cannot keep up holds what points into read buffers, and
// lets go of it when it is done.
func TestSharedBuffers(t *testing.T) {
	near, far := pair(t, 16<<10)
	reader := newPeer(t, far)
	var slots egress.Slots
	c := newConn(near, &slots, roomy(), make(chan egress.Reason, 1))
	var pub publisher
	defer pub.end()
	var held []*egress.Buffer
	const n = 30
	for seq := range n {
		pub.begin()
		pub.publish(c, "s", pattern(0, seq, []int{64 << 10, 5 << 10, 300}[seq%3]))
		pub.batch.Flush(nil)
		if pub.buffer.Shared() {
			held = append(held, pub.buffer)
		}
	}
	if len(held) < n/3-8 {
		t.Errorf("%d buffers are shared: large messages were copied", len(held))
	}
	reader.read()
	c.Finish(patience)
	c.Close()
	all, _ := frames(reader.all())
	for seq, f := range all {
		if want := pattern(0, seq, len(f.body)); !bytes.Equal(f.body, want) {
			t.Fatalf("message %d was harmed", seq)
		}
	}
	if len(all) != n {
		t.Errorf("%d messages came, want %d", len(all), n)
	}
	if pub.buffer.Shared() {
		t.Error("a buffer is still held after everything was written")
	}
}

// Dropped with the connection, queued segments let go of their buffers.
func TestCloseReleasesSharedBuffers(t *testing.T) {
	near, _ := pair(t, 16<<10)
	var slots egress.Slots
	c := newConn(near, &slots, roomy(), make(chan egress.Reason, 1))
	b := egress.NewBuffer(1 << 20)
	var batch egress.Batch
	for range 3 {
		batch.Begin(b)
		for i := range 10 {
			text, size := tail(make([]byte, 32<<10))
			at := i * (33 << 10)
			n := copy(b.B[at:], text)
			batch.Deliver(c, &egress.Message{Subject: []byte("s"), Tail: b.B[at : at+n], Size: size, InBuffer: true}, " 1 ")
		}
		batch.Flush(nil)
	}
	if !b.Shared() {
		t.Fatal("nothing points into the buffer: the test shows nothing")
	}
	c.Close()
	if b.Shared() {
		t.Error("the buffer is held after Close")
	}
	batch.Begin(b)
	batch.Deliver(c, &egress.Message{Subject: []byte("s"), Tail: b.B[:32<<10], Size: 1, InBuffer: true}, " 1 ")
	batch.Flush(nil)
	if b.Shared() {
		t.Error("a closed connection took the buffer")
	}
	b.Release()
}
