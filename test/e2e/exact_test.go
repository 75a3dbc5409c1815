package e2e_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

type usage struct {
	Accounts []struct {
		Account           string
		PublishedMessages int64 `json:"published_messages"`
		PublishedBytes    int64 `json:"published_bytes"`
		DeliveredMessages int64 `json:"delivered_messages"`
		DeliveredBytes    int64 `json:"delivered_bytes"`
	}
}

// counted is an account's four numbers in one comparable form.
type counted struct{ published, publishedBytes, delivered, deliveredBytes int64 }

func (h *home) usageOf(who tenant) counted {
	h.t.Helper()
	var u usage
	h.coveyJSON(&u, "--context", who.Context, "usage", "--account", lastID(who.Account))
	for _, a := range u.Accounts {
		if a.Account == who.Account {
			return counted{a.PublishedMessages, a.PublishedBytes, a.DeliveredMessages, a.DeliveredBytes}
		}
	}
	return counted{}
}

func (h *home) mustCount(who tenant, want counted) {
	h.t.Helper()
	var got counted
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if got = h.usageOf(who); got == want {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("usage of %s = %+v, want %+v", who.Account, got, want)
		}
		<-tick.C
	}
}

const (
	messageSize  = 128
	perPublisher = 250_000
	publishers   = 2 // each account
)

// flood publishes from two connections of one account and checks that one
// subscriber gets all of it, in each publisher's order.
func (b *box) flood(who tenant) error {
	sub, err := nats.Connect(b.NATSURL, nats.UserCredentials(who.CredsFile), nats.Timeout(patience))
	if err != nil {
		return err
	}
	defer sub.Close()
	var received, disordered atomic.Int64
	all := make(chan struct{})
	var last [publishers]uint64 // owned by the subscription's callback
	s, err := sub.Subscribe("flood", func(m *nats.Msg) {
		who, seq := m.Data[0], binary.LittleEndian.Uint64(m.Data[1:])
		if seq != last[who]+1 {
			disordered.Add(1)
		}
		last[who] = seq
		if received.Add(1) == publishers*perPublisher {
			close(all)
		}
	})
	if err != nil {
		return err
	}
	if err := s.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	if err := sub.Flush(); err != nil {
		return err
	}
	errs := make([]error, publishers)
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() { errs[i] = b.publishFlood(who, byte(i)) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	select {
	case <-all:
	case <-time.After(2 * time.Minute):
	}
	if got := received.Load(); got != publishers*perPublisher || disordered.Load() != 0 {
		return fmt.Errorf("%s: received %d, %d out of order", who.Account, got, disordered.Load())
	}
	return nil
}

func (b *box) publishFlood(who tenant, publisher byte) error {
	nc, err := nats.Connect(b.NATSURL, nats.UserCredentials(who.CredsFile), nats.Timeout(patience))
	if err != nil {
		return err
	}
	defer nc.Close()
	body := make([]byte, messageSize)
	body[0] = publisher
	for seq := uint64(1); seq <= perPublisher; seq++ {
		binary.LittleEndian.PutUint64(body[1:], seq)
		if err := nc.Publish("flood", body); err != nil {
			return err
		}
	}
	return nc.FlushTimeout(2 * time.Minute)
}

func TestMillionMessagesAreDeliveredInOrderAndCountedExactly(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	tenants := []tenant{h.signUp("acme"), h.signUp("globex")}
	errs := make([]error, len(tenants))
	var wg sync.WaitGroup
	for i, who := range tenants {
		wg.Go(func() { errs[i] = b.flood(who) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	const n = publishers * perPublisher
	for _, who := range tenants {
		h.mustCount(who, counted{n, n * messageSize, n, n * messageSize})
	}
}

// TestUsageSurvivesADrainAndAddsUp restarts between two batches.
func TestUsageSurvivesADrainAndAddsUp(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	who := h.signUp("acme")
	var want counted
	for range 2 {
		nc := b.connect(who.CredsFile)
		sub := subscribe(t, nc, "tick", "")
		for range 1000 {
			if err := nc.Publish("tick", []byte("0123456789")); err != nil {
				t.Fatal(err)
			}
		}
		for range 1000 {
			next(t, sub)
		}
		nc.Close()
		b.stop()
		want = counted{want.published + 1000, want.publishedBytes + 10_000, want.delivered + 1000, want.deliveredBytes + 10_000}
		b = h.up(anyPorts()...)
	}
	h.mustCount(who, want)
}
