package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// client publishes for as long as it lives, and looks at everything it gets.
// What is not allowed it tells the schedule.
type client struct {
	s       *schedule
	name    string
	account string
	node    int
	nc      *nats.Conn
	stop    context.CancelFunc
	done    sync.WaitGroup
	subs    []*subscription

	sending sync.Mutex
	seq     int        // guarded by sending
	rng     *rand.Rand // guarded by sending
}

// subscription checks order and identity, and counts the messages of rounds.
type subscription struct {
	client         *client
	subject, queue string
	got            atomic.Int64

	mu     sync.Mutex
	last   map[string]int // the last number of each publisher; guarded by mu
	rounds map[string]int // how often the message of a round came; guarded by mu
}

// every is how often a client publishes while a schedule runs.
const every = 5 * time.Millisecond

// run publishes until ctx ends or the connection does.
func (c *client) run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.nc.IsClosed() {
			return
		}
		if c.publish("run") == nil {
			c.s.sent.Add(1)
		}
	}
}

func (c *client) publish(what string) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.seq++
	padding := strings.Repeat("x", c.rng.IntN(3000))
	return c.nc.Publish("t.x", fmt.Appendf(nil, "%s %s %s %d %s", what, c.account, c.name, c.seq, padding))
}

// subscribe adds a subscription that the schedule expects to be served.
func (c *client) subscribe(subject, queue string) error {
	sub := &subscription{client: c, subject: subject, queue: queue, last: make(map[string]int), rounds: make(map[string]int)}
	var err error
	if queue == "" {
		_, err = c.nc.Subscribe(subject, sub.take)
	} else {
		_, err = c.nc.QueueSubscribe(subject, queue, sub.take)
	}
	if err == nil {
		c.subs = append(c.subs, sub)
	}
	return err
}

func (sub *subscription) take(m *nats.Msg) {
	c := sub.client
	var what, account, from string
	var seq int
	if _, err := fmt.Sscan(string(m.Data), &what, &account, &from, &seq); err != nil {
		c.s.wrong("%s got an unreadable message %.40q", c.name, m.Data)
		return
	}
	sub.got.Add(1)
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if account != c.account {
		c.s.wrong("%s of account %s got a message of account %s", c.name, c.account, account)
	}
	if last := sub.last[from]; seq <= last {
		c.s.wrong("%s on %q %q got %d of %s after %d", c.name, sub.subject, sub.queue, seq, from, last)
	}
	sub.last[from] = seq
	if what != "run" {
		sub.rounds[what+" "+from]++
	}
}

func (sub *subscription) times(key string) int {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	return sub.rounds[key]
}

// close ends the client; its subscriptions are expected nothing of any more.
func (c *client) close() {
	c.stop()
	c.nc.Close()
	c.done.Wait()
}
