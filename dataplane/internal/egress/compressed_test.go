package egress_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/coveymq/covey/dataplane/internal/egress"
)

// What a slow peer reads from a compressed connection is what was sent, in
// order, through every change of level, and it is counted to the message.
func TestCompressedStreamIsWhatWasSent(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			near, far := pair(t, 16<<10)
			var slots egress.Slots
			c := egress.New(near, &slots, &egress.Limits{MaxPending: 1 << 30, WriteDeadline: 10 * time.Second}, func(r egress.Reason) { t.Errorf("gave up: %d", r) })
			c.Compress(egress.Fast)
			const n = 800
			var want bytes.Buffer
			var b egress.Batch
			for i := range n {
				if rng.IntN(50) == 0 {
					c.SetLevel(egress.Level(1 + rng.IntN(4)))
				}
				body := bytes.Repeat([]byte{'a' + byte(i%26)}, rng.IntN(3000))
				if rng.IntN(20) == 0 {
					body = make([]byte, 20_000+rng.IntN(200_000))
					for j := range body {
						body[j] = byte(rng.Uint32())
					}
				}
				tail := append(append(strconv.AppendInt(nil, int64(len(body)), 10), "\r\n"...), append(body, "\r\n"...)...)
				b.Deliver(c, &egress.Message{Subject: []byte("s"), Tail: tail, Size: len(body)}, " 1 ")
				want.WriteString("MSG s 1 ")
				want.Write(tail)
				if rng.IntN(8) == 0 {
					b.Flush(nil)
				}
			}
			got := make(chan []byte, 1)
			var wg sync.WaitGroup
			wg.Go(func() {
				all := make([]byte, want.Len())
				k, _ := io.ReadFull(s2.NewReader(far), all)
				got <- all[:k]
			})
			b.Flush(nil)
			c.Finish(time.Minute)
			c.Close()
			wg.Wait()
			if !bytes.Equal(<-got, want.Bytes()) {
				t.Error("the stream differs from what was sent")
			}
			if got := c.OutMessages.Load(); got != n {
				t.Errorf("counted %d messages of %d", got, n)
			}
		})
	}
}
