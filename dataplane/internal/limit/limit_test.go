package limit_test

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/limit"
)

var start = time.Unix(1_000_000, 0)

func gate(t interface{ Fatal(...any) }, outer *limit.Gate, texts map[string]string) *limit.Gate {
	q := accounts.Quotas{}
	for name, text := range texts {
		one, err := accounts.ParseQuota(name, text)
		if err != nil {
			t.Fatal(err)
		}
		q[name] = one
	}
	return limit.NewGate(outer, q, nil, start)
}

// TestEdge takes exactly what is allowed, and no more, until time gives more.
func TestEdge(t *testing.T) {
	g := gate(t, nil, map[string]string{accounts.MessagesIn: "10/5/refuse"})
	for i := range 5 {
		if v := g.Publish(1, start); !v.Admits() {
			t.Fatalf("message %d of a burst of 5: %+v", i+1, v)
		}
	}
	v := g.Publish(1, start)
	if v.Limit != accounts.MessagesIn || v.Policy != accounts.Refuse || v.Wait != 100*time.Millisecond {
		t.Fatalf("the sixth: %+v", v)
	}
	if v := g.Publish(1, start.Add(v.Wait-1)); v.Admits() {
		t.Error("a nanosecond too early was admitted")
	}
	if v := g.Publish(1, start.Add(v.Wait)); !v.Admits() {
		t.Errorf("in time: %+v", v)
	}
}

// TestMoreThanTheBurst is admitted when the bucket is full, and then paid off.
func TestMoreThanTheBurst(t *testing.T) {
	g := gate(t, nil, map[string]string{accounts.BytesIn: "1000/100/refuse"})
	if v := g.Publish(5000, start); !v.Admits() {
		t.Fatalf("%+v", v)
	}
	if v := g.Publish(1, start); v.Wait != 4901*time.Millisecond {
		t.Errorf("the next waits %v", v.Wait)
	}
}

// TestRefusedTakesNothing checks that a refusal of one bucket leaves the others
// as they were.
func TestRefusedTakesNothing(t *testing.T) {
	outer := gate(t, nil, map[string]string{accounts.MessagesIn: "1/2/refuse", accounts.BytesIn: "1000/10/refuse"})
	g := gate(t, outer, map[string]string{accounts.MessagesIn: "1/100/refuse"})
	if v := g.Publish(10, start); !v.Admits() {
		t.Fatal(v)
	}
	for range 50 {
		if v := g.Publish(10, start); v.Limit != accounts.BytesIn {
			t.Fatalf("%+v", v)
		}
	}
	if v := g.Publish(10, start.Add(10*time.Millisecond)); !v.Admits() {
		t.Errorf("the messages were charged: %+v", v)
	}
}

// client publishes as fast as it may, and is heard again late.
type client struct {
	at   time.Duration
	held bool // a message waits for its tokens
}

type queue []*client

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*client)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	*q = (*q)[:last]
	return c
}

// TestAccuracy lets clients that are slowed down send what they can, each being
// heard again up to 20 ms late, and counts what went through: within 2 % of what
// the rate allows.
func TestAccuracy(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rate := rapid.Int64Range(50, 20_000).Draw(rt, "rate")
		burst := rapid.Int64Range(1, rate).Draw(rt, "burst")
		clients := rapid.IntRange(1, 30).Draw(rt, "clients")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		q, err := accounts.NewQuota(accounts.MessagesIn, accounts.Quota{Amount: rate, Burst: burst})
		if err != nil {
			rt.Fatal(err)
		}
		g := limit.NewGate(nil, accounts.Quotas{accounts.MessagesIn: q}, nil, start)
		const span = 20 * time.Second
		all := make(queue, clients)
		for i := range all {
			all[i] = &client{}
		}
		sent := int64(0)
		for {
			c := all[0]
			if c.at >= span {
				break
			}
			if c.held {
				sent++
				c.held = false
			}
			for batch := range 64 {
				v := g.Publish(1, start.Add(c.at))
				if !v.Admits() {
					c.held = true
					c.at += v.Wait + time.Duration(random.Int64N(int64(20*time.Millisecond)))
					break
				}
				if sent++; batch == 63 {
					c.at += time.Microsecond
				}
			}
			heap.Fix(&all, 0)
		}
		slack := float64(burst) + float64(rate)/20 + float64(clients)
		want := float64(rate) * span.Seconds()
		if got := float64(sent); got < want*0.98 || got > want*1.02+slack {
			rt.Fatalf("%v messages in %v at %d a second, burst %d, %d clients: want %v", got, span, rate, burst, clients, want)
		}
	})
}

// TestConcurrent takes from one bucket in many goroutines: exactly what there is.
func TestConcurrent(t *testing.T) {
	g := gate(t, nil, map[string]string{accounts.MessagesIn: "1/10000/refuse"})
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5000 {
				if g.Publish(1, start).Admits() {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() != 10_000 {
		t.Errorf("%d were admitted of a burst of 10000", taken.Load())
	}
}

// TestGatesGoOn checks that changed limits keep the buckets that are the same.
func TestGatesGoOn(t *testing.T) {
	quota := func(text string) accounts.Quota {
		q, err := accounts.ParseQuota(accounts.MessagesIn, text)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	first := limit.NewGate(nil, accounts.Quotas{accounts.MessagesIn: quota("1/1/refuse")}, nil, start)
	if !first.Publish(1, start).Admits() || first.Rested(start) || !first.Rested(start.Add(time.Second)) {
		t.Fatal("a bucket of one")
	}
	same := limit.NewGate(nil, accounts.Quotas{accounts.MessagesIn: quota("1/1/close"), accounts.Weight: {Amount: 3}}, first, start)
	if v := same.Publish(1, start); v.Policy != accounts.Close {
		t.Errorf("the bucket began anew: %+v", v)
	}
	if more := limit.NewGate(nil, accounts.Quotas{accounts.MessagesIn: quota("2/2/refuse")}, same, start); !more.Publish(1, start).Admits() {
		t.Error("a new limit has the old bucket")
	}
	user := limit.NewGate(same, accounts.Quotas{accounts.MessagesIn: quota("1/1/close")}, nil, start)
	if again := limit.NewGate(nil, accounts.Quotas{accounts.MessagesIn: quota("1/1/close")}, user, start.Add(time.Second)); !again.Publish(1, start.Add(time.Second)).Admits() {
		t.Error("the user's bucket was its account's")
	}
	if limit.NewGate(nil, accounts.Quotas{accounts.Weight: {Amount: 1}}, nil, start) != nil {
		t.Error("a gate that counts nothing")
	}
}

// TestHighestRate counts for years without an overflow.
func TestHighestRate(t *testing.T) {
	g := gate(t, nil, map[string]string{accounts.BytesIn: "20000000000/1/refuse"})
	for day := range 10 * 365 {
		now := start.Add(time.Duration(day) * 24 * time.Hour)
		if !g.Publish(1, now).Admits() || g.Publish(1, now).Admits() {
			t.Fatalf("day %d", day)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	g := gate(b, nil, map[string]string{accounts.MessagesIn: "1000000000", accounts.BytesIn: "1000000000"})
	b.ReportAllocs()
	for b.Loop() {
		g.Publish(1, start)
	}
}
