package egress_test

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/egress"
)

// deliverAs stages one message of an account.
func deliverAs(b *egress.Batch, c *egress.Conn, account string, body []byte) {
	t, size := tail(body)
	b.Deliver(c, &egress.Message{Subject: []byte(account), Tail: t, Size: size, Account: account}, " 1 ")
}

// A message behind another account's backlog does not wait for it.
func TestBacklogOfOneAccountIsNotBeforeAnother(t *testing.T) {
	near, far := pair(t, 4<<10)
	var slots egress.Slots
	c := egress.New(near, &slots, &egress.Limits{MaxPending: 1 << 30, MaxLane: 1 << 30, WriteDeadline: 10 * time.Second}, func(r egress.Reason) { t.Errorf("gave up: %d", r) })
	const flood = 5_000
	var b egress.Batch
	for range flood {
		deliverAs(&b, c, "flood", make([]byte, 500))
	}
	b.Flush(nil)
	deliverAs(&b, c, "victim", []byte("hello"))
	b.Flush(nil)
	p := newPeer(t, far)
	var wg sync.WaitGroup
	wg.Go(p.read)
	c.Finish(time.Minute)
	c.Close()
	wg.Wait()
	all, _ := frames(p.all())
	if len(all) != flood+1 {
		t.Fatalf("%d frames of %d", len(all), flood+1)
	}
	for i, f := range all {
		if f.subject == "victim" {
			if i > 1000 {
				t.Errorf("the other account's message came as number %d", i)
			}
			return
		}
	}
	t.Error("the other account's message did not come")
}

// Whatever is sent, held and resumed: each account's messages come in order and
// complete, and nothing stays behind.
func TestLanesKeepEachAccountsOrder(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			near, far := pair(t, 4<<10)
			var slots egress.Slots
			c := egress.New(near, &slots, &egress.Limits{MaxPending: 1 << 30, MaxLane: 1 << 30, WriteDeadline: 10 * time.Second}, func(r egress.Reason) { t.Errorf("gave up: %d", r) })
			p := newPeer(t, far)
			var reader sync.WaitGroup
			reader.Go(p.read)
			const n = 150
			var senders sync.WaitGroup
			for a := range 5 {
				own := rand.New(rand.NewPCG(seed, uint64(10+a)))
				senders.Go(func() {
					var b egress.Batch
					for i := range n {
						deliverAs(&b, c, "a"+strconv.Itoa(a), pattern(a, i, 8+own.IntN(9000)))
						if own.IntN(4) == 0 {
							b.Flush(nil)
						}
					}
					b.Flush(nil)
				})
			}
			for range 200 {
				c.Hold("a"+strconv.Itoa(rng.IntN(5)), rng.IntN(2) == 0)
				c.Post([]byte("PING\r\n"))
			}
			senders.Wait()
			for a := range 5 {
				c.Hold("a"+strconv.Itoa(a), false)
			}
			c.Finish(time.Minute)
			if got := c.Pending(); got != 0 {
				t.Errorf("%d bytes pending", got)
			}
			c.Close()
			reader.Wait()
			stream := bytes.ReplaceAll(p.all(), []byte("PING\r\n"), nil)
			all, _ := frames(stream)
			next := make(map[string]int)
			for _, f := range all {
				a, _ := strconv.Atoi(strings.TrimPrefix(f.subject, "a"))
				if !bytes.Equal(f.body, pattern(a, next[f.subject], len(f.body))) {
					t.Fatalf("message %d of %s is another one", next[f.subject], f.subject)
				}
				next[f.subject]++
			}
			for a := range 5 {
				if got := next["a"+strconv.Itoa(a)]; got != n {
					t.Errorf("account %d: %d messages of %d", a, got, n)
				}
			}
		})
	}
}

// What an account has beyond its bound is dropped and counted; the connection and
// the other accounts go on.
func TestFullLaneDropsItsOwnOnly(t *testing.T) {
	near, far := pair(t, 4<<10)
	var slots egress.Slots
	c := egress.New(near, &slots, &egress.Limits{MaxPending: 1 << 30, MaxLane: 1 << 20, WriteDeadline: 10 * time.Second}, func(r egress.Reason) { t.Errorf("gave up: %d", r) })
	var full []string
	c.Overflow = func(account string) { full = append(full, account) }
	c.Hold("greedy", true)
	var b egress.Batch
	const n = 3000
	for range n {
		deliverAs(&b, c, "greedy", make([]byte, 1000))
		b.Flush(nil)
	}
	deliverAs(&b, c, "modest", []byte("x"))
	b.Flush(nil)
	dropped := c.Dropped.Load()
	if dropped == 0 || dropped == n || len(full) != 1 || full[0] != "greedy" {
		t.Errorf("dropped %d, told of %v", dropped, full)
	}
	p := newPeer(t, far)
	var wg sync.WaitGroup
	wg.Go(p.read)
	c.Hold("greedy", false)
	c.Finish(time.Minute)
	c.Close()
	wg.Wait()
	all, _ := frames(p.all())
	if uint64(len(all)) != n-dropped+1 || all[0].subject != "modest" {
		t.Errorf("%d messages came, the first on %s; %d were dropped", len(all), all[0].subject, dropped)
	}
}
