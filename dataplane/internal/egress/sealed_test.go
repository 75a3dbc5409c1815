package egress_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/secure"
	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
)

// secured does a handshake between the two ends of a connection.
func secured(tb testing.TB, near, far net.Conn, version uint16) (*secure.Conn, *tls.Conn) {
	tb.Helper()
	ca := securetest.NewAuthority(tb)
	settings, err := secure.Load(secure.Options{Certificates: []secure.KeyPair{ca.Server(tb)}})
	if err != nil {
		tb.Fatal(err)
	}
	config := ca.Config(tb)
	config.MaxVersion = version
	client := tls.Client(far, config)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _ = client.Handshake() })
	server := secure.Server(near, settings)
	if err := server.Handshake(settings, false); err != nil {
		tb.Fatal(err)
	}
	return server, client
}

// securePair is pair with TLS: the sending half, and what the peer reads from.
func securePair(tb testing.TB, buffer int, version uint16, slots *egress.Slots, failed chan<- egress.Reason) (*egress.Conn, *secure.Conn, *tls.Conn) {
	tb.Helper()
	near, far := pair(tb, buffer)
	server, client := secured(tb, near, far, version)
	c := newConn(near, slots, roomy(), failed)
	if err := c.Secure(server); err != nil {
		tb.Fatal(err)
	}
	return c, server, client
}

func versions() map[string]uint16 {
	return map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}
}

// Behind TLS as well everything comes whole, in order and counted, through
// buffers that are far too small for it.
func TestSealedOrderAndExactCounts(t *testing.T) {
	for name, version := range versions() {
		for _, buffer := range []int{4 << 10, 16 << 10, 0} {
			t.Run(fmt.Sprintf("%s with buffers of %d", name, buffer), func(t *testing.T) {
				var slots egress.Slots
				failed := make(chan egress.Reason, 1)
				c, _, client := securePair(t, buffer, version, &slots, failed)
				m, reader := &meter{}, newPeer(t, client)
				c.SetMeter(m)
				reader.read()
				var pub publisher
				defer pub.end()
				var want bytes.Buffer
				var n, total uint64
				rng := rand.New(rand.NewPCG(9, uint64(buffer)))
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
				if got := reader.all(); !bytes.Equal(got, want.Bytes()) {
					t.Errorf("the peer read %d bytes that differ from the %d sent", len(got), want.Len())
				}
				m.check(t)
				if gotN, gotSize := m.counts(); gotN != n || gotSize != total || c.OutMessages.Load() != n {
					t.Errorf("counted %d messages of %d bytes, sent %d of %d", gotN, gotSize, n, total)
				}
			})
		}
	}
}

// Closed at any moment, what is counted behind TLS is what the peer could
// decrypt whole.
func TestSealedCountsWhenClosedInTheMiddle(t *testing.T) {
	for seed := range uint64(40) {
		sealedCloseInTheMiddle(t, seed)
	}
}

func sealedCloseInTheMiddle(t *testing.T, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 5))
	var slots egress.Slots
	c, _, client := securePair(t, 16<<10, 0, &slots, make(chan egress.Reason, 1))
	m, reader := &meter{}, newPeer(t, client)
	c.SetMeter(m)
	if seed%3 == 0 {
		reader.read()
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for p := range 2 {
		prng := rand.New(rand.NewPCG(seed, uint64(p)))
		wg.Go(func() { publishUntil(stop, c, prng, p) })
	}
	wg.Go(func() { // control lines between the records
		for i := 0; c.Flags.Load()&egress.Closed == 0 && c.Pending() < 8<<20 && i < 2000; i++ {
			c.Control([]byte("PING\r\n"))
		}
	})
	moment := uint64(rng.IntN(4 << 20))
	eventually(t, "some traffic", func() bool { return c.OutBytes.Load()+uint64(c.Pending()) >= moment })
	c.Close()
	close(stop)
	wg.Wait()
	if seed%3 != 0 {
		reader.read()
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
	for _, f := range all {
		if f.body == nil && f.line != "PING" && f.line != "+OK" {
			t.Fatalf("seed %d: a line in the wrong place: %q", seed, f.line)
		}
	}
}

// Small messages share records.
func TestSealedRecordsAreFull(t *testing.T) {
	near, far := pair(t, 0)
	count := &counting{Conn: far}
	server, client := secured(t, near, count, 0)
	var slots egress.Slots
	c := newConn(near, &slots, roomy(), make(chan egress.Reason, 1))
	if err := c.Secure(server); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var pub publisher
	defer pub.end()
	pub.begin()
	total := 0
	for range 400 {
		pub.publish(c, "s", make([]byte, 128))
		total += len("MSG s 1 128\r\n") + 130
	}
	pub.batch.Flush(nil)
	got := make([]byte, total)
	count.bytes = 0
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	if most := total + (total/secure.RecordMax+1)*64; count.bytes > most {
		t.Errorf("%d bytes went over the wire for %d, more than %d: the records are not full", count.bytes, total, most)
	}
}

// counting counts what is read.
type counting struct {
	net.Conn
	bytes int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.bytes += n
	return n, err
}

// close_notify ends the stream.
func TestCloseNotify(t *testing.T) {
	var slots egress.Slots
	c, server, client := securePair(t, 0, 0, &slots, make(chan egress.Reason, 1))
	defer c.Close()
	c.Control([]byte("PING\r\n"))
	c.Finish(patience)
	c.CloseNotify()
	if server.Busy() {
		t.Error("the alert was not sent")
	}
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "PING\r\n" {
		t.Errorf("read %q, %v; want PING and a clean end", got, err)
	}
}

func TestOnlySocketsAreSecured(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	var slots egress.Slots
	c := newConn(near, &slots, roomy(), make(chan egress.Reason, 1))
	defer c.Close()
	if err := c.Secure(nil); err == nil {
		t.Error("a pipe was secured")
	}
}

// One flush behind TLS allocates nothing of its own.
func TestSealedFlushAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop things at random under the race detector")
	}
	var slots egress.Slots
	c, _, client := securePair(t, 0, 0, &slots, make(chan egress.Reason, 1))
	defer c.Close()
	reader := newPeer(t, client.NetConn())
	reader.discard()
	var batch egress.Batch
	b := egress.NewBuffer(1 << 10)
	defer b.Release()
	text, size := tail(make([]byte, 128))
	m := egress.Message{Subject: []byte("s"), Tail: text, Size: size}
	n := testing.AllocsPerRun(500, func() {
		batch.Begin(b)
		for range 10 {
			batch.Deliver(c, &m, " 1 ")
		}
		batch.Flush(nil)
		c.Finish(patience)
	})
	if n > 0 {
		t.Errorf("%v allocations for a flush", n)
	}
}

func BenchmarkSealedFlush(b *testing.B) {
	for _, count := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d messages of 128 bytes", count), func(b *testing.B) {
			var slots egress.Slots
			c, _, client := securePair(b, 0, 0, &slots, make(chan egress.Reason, 1))
			var wg sync.WaitGroup
			defer wg.Wait()
			defer c.Close()
			wg.Go(func() { _, _ = io.Copy(io.Discard, client.NetConn()) })
			var batch egress.Batch
			buffer := egress.NewBuffer(1 << 10)
			defer buffer.Release()
			text, size := tail(make([]byte, 128))
			m := egress.Message{Subject: []byte("s"), Tail: text, Size: size}
			b.ReportAllocs()
			for b.Loop() {
				batch.Begin(buffer)
				for range count {
					batch.Deliver(c, &m, " 1 ")
				}
				batch.Flush(nil)
				batch.Stall()
			}
		})
	}
}

// Control lines that come while records are held follow them, each once, and
// never inside a message.
func TestSealedControlFollowsWhatIsHeld(t *testing.T) {
	var slots egress.Slots
	c, _, client := securePair(t, 16<<10, 0, &slots, make(chan egress.Reason, 1))
	reader := newPeer(t, client)
	var pub publisher
	defer pub.end()
	const rounds, size = 200, 20 << 10
	for seq := range rounds {
		pub.begin()
		pub.publish(c, "s", pattern(0, seq, size))
		pub.batch.Flush(nil)
		c.Control([]byte("PING\r\n"))
		if seq == rounds/2 {
			reader.read()
		}
	}
	c.Finish(patience)
	c.Close()
	all, left := frames(reader.all())
	pings, seq := 0, 0
	for _, f := range all {
		switch {
		case f.line == "PING":
			pings++
		case !bytes.Equal(f.body, pattern(0, seq, size)):
			t.Fatalf("message %d was harmed, or is a line in the wrong place: %.40q", seq, f.line)
		default:
			seq++
		}
	}
	if pings != rounds || seq != rounds || left != 0 {
		t.Errorf("%d PINGs and %d messages came of %d each, and %d bytes more", pings, seq, rounds, left)
	}
}
