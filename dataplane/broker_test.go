package dataplane_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/internal/lifecycle"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) {
	testleak.Main(m)
}

// start runs a stand-alone broker until the test ends.
func start(t *testing.T) *dataplane.Broker {
	t.Helper()
	b, err := dataplane.New(t.Context(), dataplane.Config{
		MonitorAddr: "127.0.0.1:0", Version: "test", Logger: slog.New(slog.DiscardHandler),
		Drain: dataplane.Drain{Grace: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := lifecycle.NewGroup(ctx)
	g.Go(b.Run)
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return b
}

// natsConnect is nats.Connect with more than its two seconds: other tests may keep
// the processors busy.
func natsConnect(url string, opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(url, append([]nats.Option{nats.Timeout(time.Minute)}, opts...)...)
}

func dial(t *testing.T, b *dataplane.Broker, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := natsConnect(b.ClientURL(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func TestPublishAndRequest(t *testing.T) {
	b := start(t)
	nc := dial(t, b)
	sub, err := nc.SubscribeSync("foo.*")
	must(t, err)
	must(t, nc.PublishMsg(&nats.Msg{Subject: "foo.bar", Data: []byte("hello"), Header: nats.Header{"A": {"b"}}}))
	m, err := sub.NextMsg(time.Minute)
	must(t, err)
	if string(m.Data) != "hello" || m.Header.Get("A") != "b" || m.Subject != "foo.bar" {
		t.Errorf("got %q %v on %s", m.Data, m.Header, m.Subject)
	}
	_, err = nc.Subscribe("svc", func(m *nats.Msg) { _ = m.Respond(append([]byte("re: "), m.Data...)) })
	must(t, err)
	r, err := nc.Request("svc", []byte("x"), time.Minute)
	must(t, err)
	if string(r.Data) != "re: x" {
		t.Errorf("answer = %q", r.Data)
	}
	if _, err := nc.Request("nobody", nil, time.Minute); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("request to nobody = %v, want no responders", err)
	}
}

func TestQueueGroupsShareAndPlainSubscribersGetAll(t *testing.T) {
	b := start(t)
	nc := dial(t, b)
	var plain, queued [4]atomic.Int64
	for i := range 4 {
		_, err := nc.Subscribe("q", func(*nats.Msg) { plain[i].Add(1) })
		must(t, err)
		_, err = nc.QueueSubscribe([]string{"q", "*", ">", "q"}[i], "g", func(*nats.Msg) { queued[i].Add(1) })
		must(t, err)
	}
	must(t, nc.Flush())
	pub := dial(t, b)
	const n = 1000
	for range n {
		must(t, pub.Publish("q", []byte("x")))
	}
	sum := func(a *[4]atomic.Int64) (s int64) {
		for i := range a {
			s += a[i].Load()
		}
		return s
	}
	eventually(t, "all deliveries", func() bool { return sum(&plain) == 4*n && sum(&queued) == n })
	for i := range queued {
		if got := queued[i].Load(); got < n/16 {
			t.Errorf("member %d of the group got only %d of %d", i, got, n)
		}
	}
}

func TestAutoUnsubscribeIsExact(t *testing.T) {
	b := start(t)
	nc := dial(t, b)
	sub, err := nc.SubscribeSync("a")
	must(t, err)
	must(t, sub.AutoUnsubscribe(7))
	for i := range 20 {
		must(t, nc.Publish("a", fmt.Append(nil, i)))
	}
	must(t, nc.Flush())
	for i := range 7 {
		m, err := sub.NextMsg(time.Minute)
		must(t, err)
		if string(m.Data) != fmt.Sprint(i) {
			t.Errorf("message %d = %q", i, m.Data)
		}
	}
	if m, err := sub.NextMsg(time.Millisecond); err == nil {
		t.Errorf("an eighth message came: %q", m.Data)
	}
}

// Sizes around every boundary of the buffers, in order, unharmed, to several
// subscribers.
func TestLargeMessages(t *testing.T) {
	b := start(t)
	pub := dial(t, b)
	sizes := []int{0, 1, 2047, 2048, 4 << 10, 16<<10 - 1, 16 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 256 << 10, 1 << 20}
	var subs []*nats.Subscription
	for range 3 {
		nc := dial(t, b)
		s, err := nc.SubscribeSync("big")
		must(t, err)
		must(t, nc.Flush())
		subs = append(subs, s)
	}
	for i, n := range sizes {
		data := make([]byte, n)
		for j := range data {
			data[j] = byte(i + j)
		}
		must(t, pub.Publish("big", data))
	}
	for _, s := range subs {
		for i, n := range sizes {
			m, err := s.NextMsg(time.Minute)
			must(t, err)
			if len(m.Data) != n {
				t.Fatalf("message %d has %d bytes, want %d", i, len(m.Data), n)
			}
			for j := range m.Data {
				if m.Data[j] != byte(i+j) {
					t.Fatalf("message %d differs at %d", i, j)
				}
			}
		}
	}
}

func TestOrderPerPublisherUnderLoad(t *testing.T) {
	b := start(t)
	const count, n = 4, 20000
	var publishers sync.WaitGroup
	defer publishers.Wait()
	sub := dial(t, b)
	var next [count]int
	var wrong, got atomic.Int64
	s, err := sub.Subscribe("load.*", func(m *nats.Msg) {
		var p, i int
		_, _ = fmt.Sscanf(string(m.Data), "%d %d", &p, &i)
		if next[p] != i {
			wrong.Add(1)
		}
		next[p] = i + 1
		got.Add(1)
	})
	must(t, err)
	must(t, s.SetPendingLimits(-1, -1))
	must(t, sub.Flush())
	for p := range count {
		nc := dial(t, b)
		publishers.Go(func() {
			for i := range n {
				_ = nc.Publish(fmt.Sprintf("load.%d", p), fmt.Appendf(nil, "%d %d", p, i))
			}
			_ = nc.Flush()
		})
	}
	eventually(t, "all messages", func() bool { return got.Load() == count*n })
	if wrong.Load() != 0 {
		t.Errorf("%d messages out of order", wrong.Load())
	}
}

func TestLameDuckIsAnnounced(t *testing.T) {
	b, err := dataplane.New(t.Context(), dataplane.Config{
		Logger: slog.New(slog.DiscardHandler), Drain: dataplane.Drain{Grace: 5 * time.Second},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g := lifecycle.NewGroup(ctx)
	g.Go(b.Run)
	var told atomic.Bool
	nc := dial(t, b, nats.LameDuckModeHandler(func(nc *nats.Conn) { told.Store(true); nc.Close() }))
	must(t, nc.Flush())
	cancel()
	if err := g.Wait(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if !told.Load() {
		t.Error("the client was not told")
	}
}
