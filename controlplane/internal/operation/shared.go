package operation

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// readTimeout bounds one read of the fleet.
const readTimeout = 5 * time.Second

// Shared is a Fleet whose readers share reads: who asks while a read is under way
// waits for the next one, together with all others who ask meanwhile. Nobody gets
// what was read before it asked.
type Shared struct {
	Fleet Fleet

	mu      sync.Mutex
	running *reading // guarded by mu
	next    *reading // guarded by mu: nobody has begun it yet
}

// reading is one read, and who waits for it.
type reading struct {
	done    chan struct{} // closed when what follows is set
	brokers []Broker
	err     error
}

// Brokers implements Fleet.
func (s *Shared) Brokers(ctx context.Context) ([]Broker, error) {
	s.mu.Lock()
	mine, before := s.next, s.running
	first := mine == nil
	if first {
		mine = &reading{done: make(chan struct{})}
		s.next = mine
	}
	s.mu.Unlock()
	if first {
		s.read(ctx, mine, before)
	}
	select {
	case <-mine.done:
		return slices.Clone(mine.brokers), mine.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read brokers: %w", ctx.Err())
	}
}

// read carries a read out, for all who wait for it, whether or not the one who
// happened to come first still does.
func (s *Shared) read(ctx context.Context, mine, before *reading) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	if before != nil {
		<-before.done // it is bounded, too
	}
	s.mu.Lock()
	s.next, s.running = nil, mine
	s.mu.Unlock()
	defer close(mine.done)
	mine.brokers, mine.err = s.Fleet.Brokers(ctx)
}
