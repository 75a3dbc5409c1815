package load

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

func TestReadCountsTheSameForAnySplit(t *testing.T) {
	stream := []byte("INFO {}\r\nMSG a 1 5\r\nhello\r\nPONG\r\nHMSG a 1 b 2 4\r\n\r\nhi\r\n+OK\r\nMSG a 1 0\r\n\r\nMSG a 1 20000\r\n")
	stream = append(stream, bytes.Repeat([]byte("M"), 20000)...)
	stream = append(stream, "\r\nPONG\r\n"...)
	rapid.Check(t, func(t *rapid.T) {
		client, server := net.Pipe()
		defer func() { _ = client.Close() }()
		c := &Conn{nc: client, buf: make([]byte, BufferMin)}
		sizes := rapid.SliceOfN(rapid.IntRange(1, 3000), 1, 20).Draw(t, "sizes")
		var wg sync.WaitGroup
		wg.Go(func() {
			rest := stream
			for i := 0; len(rest) > 0; i++ {
				n := min(sizes[i%len(sizes)], len(rest))
				_, _ = server.Write(rest[:n])
				rest = rest[n:]
			}
			_ = server.Close()
		})
		var total Counts
		for {
			n, err := c.Read(nil)
			total.Messages += n.Messages
			total.Pongs += n.Pongs
			if err != nil {
				break
			}
		}
		wg.Wait()
		if want := (Counts{Messages: 4, Pongs: 2}); total != want {
			t.Errorf("counts = %+v, want %+v", total, want)
		}
	})
}

func TestTrailingNumber(t *testing.T) {
	if n, err := trailingNumber([]byte("MSG a 1 1024\r")); n != 1024 || err != nil {
		t.Errorf("trailingNumber = %d, %v", n, err)
	}
	for _, bad := range []string{"MSG\r", "MSG a \r", "MSG a 1x\r", "\r", ""} {
		if _, err := trailingNumber([]byte(bad)); err == nil {
			t.Errorf("trailingNumber(%q) = nil error", bad)
		}
	}
}

func TestHistogramQuantileIsWithinABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(0, int64(time.Hour)).Draw(t, "v")
		h := &Histogram{}
		h.Record(time.Duration(v))
		got := int64(h.Quantile(0.5))
		if got < v || got > v+v/subBuckets+1 {
			t.Errorf("quantile of %d = %d", v, got)
		}
	})
}

func TestDialRefusesOtherMachines(t *testing.T) {
	if _, err := (Dialer{Addr: "192.0.2.1:4222"}).Dial(t.Context()); err != errNotLoopback { //nolint:errorlint // returned as it is
		t.Errorf("Dial = %v, want %v", err, errNotLoopback)
	}
}
