package soak_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

var soakFor = flag.Duration("soak", 20*time.Second, "how long TestSoak lasts") //nolint:gochecknoglobals // a flag

// soakConf is the configuration at each turn of the reloads.
func soakConf(turn int) string {
	extra := ""
	if turn%2 == 1 {
		extra = ", {user: extra, password: extra}"
	}
	return fmt.Sprintf(`
max_pending: 1MB
max_closed_clients: 200
max_connections: %d
debug: %t
accounts {
  A { users: [ {user: a, password: a}%s ] }
  B { users: [ {user: b, password: b} ] }
  C { users: [ {user: c, password: c} ] }
}
`, 5000+turn%3, turn%5 == 4, extra)
}

// TestSoak lets clients come and go, work, read too slowly and break off while
// the configuration is reloaded, and looks at what is left when all have gone.
func TestSoak(t *testing.T) {
	length := *soakFor
	if testing.Short() {
		length = min(length, 5*time.Second)
	}
	b := run(t, soakConf(0))
	idle := b.goroutines(t)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	s := &soak{t: t, b: b}
	calm := b.live(t, "b") // it must lose nothing, whatever A and C do
	defer calm.stop()
	var wg sync.WaitGroup
	for _, work := range []func(context.Context){s.connects, s.connects, s.subscribes, s.requests, s.slowConsumers, s.aborts, s.reloads} {
		wg.Go(func() { work(ctx) })
	}
	peaks := s.watch(ctx, length)
	wg.Wait()
	calm.stop()
	eventually(t, "all connections are gone", func() bool { return b.varz(t).Connections == 0 })
	eventually(t, "all goroutines are gone", func() bool { return b.goroutines(t) <= idle+8 })
	v := b.varz(t)
	if v.Subscriptions != 0 {
		t.Errorf("%d subscriptions are left", v.Subscriptions)
	}
	if v.SlowConsumers == 0 {
		t.Error("nobody was a slow consumer")
	}
	t.Logf("%d connections, %d messages in, %d out, %d slow consumers, %d reloads", v.Total, v.InMsgs, v.OutMsgs, v.SlowConsumers, s.turns)
	t.Logf("highest resident memory in each fifth: %v MiB; %d goroutines before, %d after", peaks, idle, b.goroutines(t))
	// The first fifth fills pools; from there on it is flat, give or take.
	if last := peaks[4]; last > peaks[1]+peaks[1]/4+16 {
		t.Errorf("memory grows: %v MiB", peaks)
	}
	must(t, syscall.Kill(b.PID(), syscall.SIGTERM))
	eventually(t, "it leaves", b.Exited)
}

// soak is the load.
type soak struct {
	t     *testing.T
	b     *broker
	turns int // of reloads; owned by reloads, then by the test
}

func (s *soak) connect(user string) (*nats.Conn, error) {
	return nats.Connect("nats://"+s.b.Addr, nats.UserInfo(user, user), nats.NoReconnect(), nats.Timeout(patience))
}

// pause waits a little; false when the soak is over.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// connects comes, says something to itself, and goes.
func (s *soak) connects(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		nc, err := s.connect("a")
		if err != nil {
			s.t.Errorf("cannot connect: %v", err)
			return
		}
		sub, err := nc.SubscribeSync(nats.NewInbox())
		if err == nil {
			err = nc.Publish(sub.Subject, make([]byte, 1+i%2000))
		}
		if err == nil {
			_, err = sub.NextMsg(patience)
		}
		nc.Close()
		if err != nil {
			s.t.Errorf("a connection of its own: %v", err)
			return
		}
	}
}

// subscribes churns through subscriptions under a stream of messages.
func (s *soak) subscribes(ctx context.Context) {
	nc, err := s.connect("a")
	if err != nil {
		s.t.Error(err)
		return
	}
	defer nc.Close()
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable
	for ctx.Err() == nil {
		var subs []*nats.Subscription
		for range 50 {
			sub, err := nc.QueueSubscribe(fmt.Sprintf("churn.%d.*", r.IntN(100)), []string{"", "q"}[r.IntN(2)], func(*nats.Msg) {})
			if err != nil {
				s.t.Error(err)
				return
			}
			subs = append(subs, sub)
		}
		for range 200 {
			_ = nc.Publish(fmt.Sprintf("churn.%d.%d", r.IntN(100), r.IntN(100)), make([]byte, 100)) // a flush follows
		}
		for _, sub := range subs {
			_ = sub.Unsubscribe() // likewise
		}
		if err := nc.FlushTimeout(patience); err != nil {
			s.t.Errorf("subscribing and publishing: %v", err)
			return
		}
	}
}

// requests asks, and is answered each time.
func (s *soak) requests(ctx context.Context) {
	nc, err := s.connect("a")
	if err != nil {
		s.t.Error(err)
		return
	}
	defer nc.Close()
	if _, err := nc.Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		s.t.Error(err)
		return
	}
	for i := 0; ctx.Err() == nil; i++ {
		m, err := nc.Request("echo", fmt.Appendf(nil, "%d", i), patience)
		if err != nil || string(m.Data) != fmt.Sprint(i) {
			s.t.Errorf("request %d: %v", i, err)
			return
		}
	}
}

// slowConsumers subscribe and never read, until they are closed.
func (s *soak) slowConsumers(ctx context.Context) {
	nc, err := s.connect("c")
	if err != nil {
		s.t.Error(err)
		return
	}
	defer nc.Close()
	payload := make([]byte, 64<<10)
	for ctx.Err() == nil {
		c, err := s.b.dial(ctx)
		if err != nil {
			return // it is over
		}
		_, err = io.WriteString(c, "CONNECT {\"user\":\"c\",\"pass\":\"c\",\"verbose\":false}\r\nSUB flood 1\r\nPING\r\n")
		if err == nil {
			heard(c, "PONG\r\n")
		}
		before := s.b.varz(s.t).SlowConsumers
		for ctx.Err() == nil && s.b.varz(s.t).SlowConsumers == before {
			for range 20 {
				_ = nc.Publish("flood", payload) // the flush tells
			}
			if err := nc.FlushTimeout(patience); err != nil {
				s.t.Errorf("the publisher to slow consumers: %v", err)
			}
		}
		_ = c.Close() // the broker was first, most likely
	}
}

// aborts break off in the middle of whatever it is.
func (s *soak) aborts(ctx context.Context) {
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // repeatable
	for pause(ctx, time.Millisecond) {
		c, err := s.b.dial(ctx)
		if err != nil {
			continue // it is over
		}
		login := "CONNECT {\"user\":\"a\",\"pass\":\"a\",\"verbose\":false}\r\nSUB churn.> 1\r\nPUB churn.1.1 100\r\n"
		_, _ = io.WriteString(c, login[:r.IntN(len(login))]) // the broker may have closed
		_ = abort(c)                                         // likewise
	}
}

// reloads changes the configuration again and again.
func (s *soak) reloads(ctx context.Context) {
	for pause(ctx, 500*time.Millisecond) {
		s.turns++
		if err := os.WriteFile(s.b.conf, []byte(soakConf(s.turns)), 0o600); err != nil {
			s.t.Error(err)
			return
		}
		if err := syscall.Kill(s.b.PID(), syscall.SIGHUP); err != nil {
			s.t.Error(err)
			return
		}
	}
}

// watch returns the highest resident memory in each fifth of the time, in MiB.
func (s *soak) watch(ctx context.Context, length time.Duration) (peaks [5]int64) {
	start := time.Now()
	for pause(ctx, length/100) {
		i := min(4, int(5*time.Since(start)/length))
		peaks[i] = max(peaks[i], s.b.rss(s.t)>>20)
	}
	return peaks
}
