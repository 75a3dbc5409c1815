package dataplane_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/internal/lifecycle"
)

// runUntil runs a broker until the returned function is called.
func runUntil(t *testing.T, cfg dataplane.Config) (b *dataplane.Broker, stop func()) {
	t.Helper()
	cfg.Logger, cfg.Version = slog.New(slog.DiscardHandler), "test"
	cfg.Drain = dataplane.Drain{Grace: time.Millisecond}
	b, err := dataplane.New(t.Context(), cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	g := lifecycle.NewGroup(ctx)
	g.Go(b.Run)
	return b, func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

// TestDataOfTheMonth counts what is published and what is delivered, over a
// restart, and refuses when it is used up.
func TestDataOfTheMonth(t *testing.T) {
	o := loadText(t, `accounts { A { covey { data: 10000 }, users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }`)
	cfg := dataplane.Config{Access: &o.Access, Clients: &o.Clients, StateDir: t.TempDir()}
	kilobyte := make([]byte, 1000)
	b, stop := runUntil(t, cfg)
	nc := dialOfficial(t, b, nats.UserInfo("a", "a"))
	sub, err := nc.SubscribeSync("a")
	must(t, err)
	must(t, nc.Flush())
	for range 3 { // 6000 bytes: in and out
		must(t, nc.Publish("a", kilobyte))
		_, err := sub.NextMsg(time.Minute)
		must(t, err)
	}
	nc.Close()
	stop()

	b, stop = runUntil(t, cfg)
	defer stop()
	nc = dialOfficial(t, b, nats.UserInfo("a", "a"))
	sub, err = nc.SubscribeSync("a")
	must(t, err)
	must(t, nc.Flush())
	for range 2 {
		must(t, nc.Publish("a", kilobyte))
		_, err := sub.NextMsg(time.Minute)
		must(t, err)
	}
	must(t, nc.Publish("a", kilobyte))
	must(t, nc.Flush())
	eventually(t, "the refusal", func() bool { return nc.errs.Load() == 1 })
	if told := *nc.last.Load(); !strings.Contains(strings.ToLower(told.Error()), "over the limit data, retry in") {
		t.Errorf("it was told %v", told)
	}
	if _, err := sub.NextMsg(50 * time.Millisecond); err == nil {
		t.Error("a message went through")
	}
	other := dialOfficial(t, b, nats.UserInfo("b", "b"))
	must(t, other.Publish("a", kilobyte))
	must(t, other.Flush())
	if other.errs.Load() > 0 {
		t.Errorf("another account was told %v", *other.last.Load())
	}
}

// TestStuckSubscribersOfOneAccount fills the memory that one account may have
// waiting: its stuck subscribers go, one by one, and nobody else.
func TestStuckSubscribersOfOneAccount(t *testing.T) {
	b := startFile(t, `
		accounts {
			A { covey { pending: 8MB }, users: [{user: a, password: a}] }
			B { users: [{user: b, password: b}] }
		}`)
	other, healthy, pub := dialOfficial(t, b, nats.UserInfo("b", "b")), dialOfficial(t, b, nats.UserInfo("a", "a")), dialOfficial(t, b, nats.UserInfo("a", "a"))
	var got [2]chan struct{}
	for i, nc := range []*official{other, healthy} {
		got[i] = make(chan struct{}, 1<<16)
		_, err := nc.Subscribe("a", func(*nats.Msg) { got[i] <- struct{}{} })
		must(t, err)
		must(t, nc.Flush())
	}
	stuck := make([]net.Conn, 4)
	for i := range stuck {
		stuck[i], _ = open(t, b)
		_, err := stuck[i].Write([]byte(`CONNECT {"user":"a","pass":"a"}` + "\r\nSUB a 1\r\nPING\r\n"))
		must(t, err)
		for line(t, stuck[i]) != "PONG" {
		}
	}
	const n = 800
	for range n {
		must(t, pub.Publish("a", make([]byte, 64<<10)))
		must(t, pub.Flush())
		<-got[1]
	}
	for _, nc := range stuck {
		must(t, nc.SetReadDeadline(time.Now().Add(time.Minute)))
		eventually(t, "a stuck subscriber has to go", func() bool {
			buf := make([]byte, 1<<20)
			_, err := nc.Read(buf)
			return err != nil
		})
	}
	must(t, other.Publish("a", nil))
	<-got[0]
	if other.disconnects.Load()+healthy.disconnects.Load()+pub.disconnects.Load() > 0 {
		t.Error("somebody else was disconnected")
	}
}
