package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	patience   = time.Minute // for what must come, but not at once
	clientsMax = 10
	tryFor     = 200 * time.Millisecond // at first
	breath     = 3 * time.Second        // a fault that stops all publishing ends at the latest then
)

// schedule is one history of a mesh, drawn from a seed.
type schedule struct {
	t        *testing.T
	rng      *rand.Rand
	mesh     *mesh
	clients  []*client
	serial   int
	round    int
	sent     atomic.Int64 // by all clients
	heard    int64        // by those that left
	happened []string     // faults so far
	slowest  time.Duration
	stacks   []byte // of a broker that has too many goroutines

	mu     sync.Mutex
	wrongs []string // what must not have happened; guarded by mu
}

// wrong notes what must not happen. Any goroutine may call it.
func (s *schedule) wrong(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrongs) < 20 {
		s.wrongs = append(s.wrongs, fmt.Sprintf(format, args...))
	}
}

func (s *schedule) judge() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrongs) > 0 {
		s.t.Fatalf("after %s:\n%s", strings.Join(s.happened, ", "), strings.Join(s.wrongs, "\n"))
	}
}

// run plays the schedule.
func (s *schedule) run() {
	for i := range s.mesh.nodes {
		s.mesh.start(i)
	}
	s.eventually("a whole mesh", s.mesh.whole)
	before := s.goroutines()
	for range 6 {
		s.change()
	}
	s.settle()
	for range 3 {
		s.trouble()
		s.settle()
		s.judge()
	}
	for len(s.clients) > 0 {
		s.leave(0)
	}
	s.clean(before)
	s.judge()
}

// trouble lets one or two faults happen at a time, under load and while clients
// come and go, and ends them.
func (s *schedule) trouble() {
	var ends []func()
	hurt := make(map[int]bool)
	for range 1 + s.rng.IntN(2) {
		f := faults[s.rng.IntN(len(faults))]
		i := s.rng.IntN(size)
		j := (i + 1 + s.rng.IntN(size-1)) % size
		if hurt[i] || hurt[j] || !s.mesh.nodes[i].up() || !s.mesh.nodes[j].up() {
			continue
		}
		hurt[i] = true
		s.happened = append(s.happened, fmt.Sprintf("%s (%d, %d)", f.name, i, j))
		if end := f.begin(s, i, j); end != nil {
			ends = append(ends, end)
		}
		s.pass(50 + s.rng.IntN(300))
		for range s.rng.IntN(4) {
			s.change()
		}
	}
	for _, end := range ends {
		end()
	}
	s.mesh.heal()
}

// pass lets the clients publish n messages more.
func (s *schedule) pass(n int) {
	goal := s.sent.Load() + int64(n)
	over := time.NewTimer(breath)
	defer over.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for s.sent.Load() < goal && len(s.clients) > 0 {
		select {
		case <-over.C:
			return
		case <-tick.C:
		}
	}
}

// change lets a client come, subscribe or go. Brokers that are not up are left
// alone.
func (s *schedule) change() {
	switch k := s.rng.IntN(6); {
	case len(s.clients) == 0 || k < 3 && len(s.clients) < clientsMax:
		s.join(s.rng.IntN(size))
	case k < 5:
		c := s.clients[s.rng.IntN(len(s.clients))]
		if s.mesh.nodes[c.node].up() {
			s.subscribe(c)
		}
	case len(s.clients) > 4:
		i := s.rng.IntN(len(s.clients))
		if s.mesh.nodes[s.clients[i].node].up() {
			s.leave(i)
		}
	}
}

func (s *schedule) join(i int) {
	s.t.Helper()
	if !s.mesh.nodes[i].up() {
		return
	}
	s.serial++
	c := &client{
		s: s, name: fmt.Sprint("c", s.serial), account: []string{"a", "b"}[s.rng.IntN(2)], node: i,
		rng: rand.New(rand.NewPCG(uint64(s.serial), 1)), //nolint:gosec // replayable, not secret
	}
	c.nc = s.connect(i, c.account)
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	c.done.Go(func() { c.run(ctx) })
	s.clients = append(s.clients, c)
	s.subscribe(c)
}

func (s *schedule) connect(i int, account string) *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect("nats://"+s.mesh.nodes[i].server.Addr, nats.UserInfo(account, account),
		nats.NoReconnect(), nats.IgnoreDiscoveredServers(), nats.Timeout(patience))
	must(s.t, err)
	s.t.Cleanup(nc.Close)
	return nc
}

func (s *schedule) subscribe(c *client) {
	s.t.Helper()
	subject := []string{"t.x", "t.*", "t.>", "*.x"}[s.rng.IntN(4)]
	queue := []string{"", "", "q", "p"}[s.rng.IntN(4)]
	must(s.t, c.subscribe(subject, queue))
}

// leave ends a client.
func (s *schedule) leave(i int) {
	c := s.clients[i]
	s.clients = append(s.clients[:i], s.clients[i+1:]...)
	c.close()
	for _, sub := range c.subs {
		s.heard += sub.got.Load()
	}
}

// lose ends the clients of a broker that is about to.
func (s *schedule) lose(i int) {
	for k := len(s.clients) - 1; k >= 0; k-- {
		if s.clients[k].node == i {
			s.leave(k)
		}
	}
}

// settle waits until the mesh is whole, and then until everybody hears everybody.
// A last round must be perfect.
func (s *schedule) settle() {
	s.t.Helper()
	s.eventually("a whole mesh", s.mesh.whole)
	for len(s.clients) < 4 {
		s.join(s.rng.IntN(size))
	}
	begun := time.Now()
	wait := tryFor
	s.eventually("everybody hears everybody", func() string {
		key := s.probe("try")
		deadline := time.Now().Add(wait)
		wait *= 2 // a busy machine takes longer for each
		lack := s.lack(key)
		for lack != "" && time.Now().Before(deadline) {
			s.pass(1)
			lack = s.lack(key)
		}
		return lack
	})
	s.slowest = max(s.slowest, time.Since(begun))
	key := s.probe("round")
	s.eventually("a perfect round", func() string { return s.lack(key) })
	s.probe("after") // what should not come has had its chance when this has
	if lack := s.lack(key); lack != "" {
		s.wrong("%s", lack)
	}
}

// probe lets every client publish a message of a new round.
func (s *schedule) probe(what string) string {
	s.t.Helper()
	s.round++
	key := fmt.Sprint(what, s.round)
	for _, c := range s.clients {
		must(s.t, c.publish(key))
		must(s.t, c.nc.FlushTimeout(patience))
	}
	return key
}

// lack says who did not get a message of a round exactly once; nobody if it is "".
func (s *schedule) lack(key string) string {
	for _, from := range s.clients {
		if lack := s.lackFrom(from, key+" "+from.name); lack != "" {
			return lack
		}
	}
	return ""
}

// lackFrom looks at one publisher's message. A queue group is the members on one
// subject: there each group has a subject of its own.
func (s *schedule) lackFrom(from *client, key string) string {
	groups := make(map[string]int)
	for _, c := range s.clients {
		if c.account != from.account {
			continue // take has looked
		}
		for _, sub := range c.subs {
			n := sub.times(key)
			switch {
			case sub.queue != "":
				groups[sub.queue] += n
			case n != 1:
				return fmt.Sprintf("%s came %d times to %s at n%d on %s", key, n, c.name, c.node, sub.subject)
			}
		}
	}
	for queue, n := range groups {
		if n != 1 {
			return fmt.Sprintf("%s came %d times to group %s", key, n, queue)
		}
	}
	return ""
}

func (s *schedule) goroutines() [size]int {
	s.t.Helper()
	var out [size]int
	for i, n := range s.mesh.nodes {
		var err error
		out[i], err = n.goroutines()
		must(s.t, err)
	}
	return out
}

// clean checks that the mesh is as it was before any client came: nobody
// connected, and no more goroutines than some that come and go by themselves. A
// link that the peer made costs one goroutine more than one that we made, and so
// does an address that a peer was told of; what leaks for every link that fails
// soon exceeds both.
func (s *schedule) clean(before [size]int) {
	s.t.Helper()
	spare := 6 + 2*(size-1)*s.mesh.perPeer()
	s.eventually("nothing left behind", func() string {
		if lack := s.mesh.whole(); lack != "" {
			return lack
		}
		for i, n := range s.mesh.nodes {
			if left, err := n.clients(); err != nil || left > 0 {
				return fmt.Sprintf("%s has %d connections, %v", n.name, left, err)
			}
			if now, err := n.goroutines(); err != nil || now > before[i]+spare {
				s.stacks, _ = fetch("http://" + n.monitor + "/stacksz")
				return fmt.Sprintf("%s has %d goroutines, it had %d, %v", n.name, now, before[i], err)
			}
		}
		return ""
	})
}

// eventually waits until lack returns "".
func (s *schedule) eventually(what string, lack func() string) {
	s.t.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for {
		missing := lack()
		if missing == "" {
			return
		}
		s.judge()
		if time.Now().After(deadline) {
			s.t.Fatalf("no %s: %s; after %s\n%s", what, missing, strings.Join(s.happened, ", "), s.stacks)
		}
		<-tick.C
	}
}
