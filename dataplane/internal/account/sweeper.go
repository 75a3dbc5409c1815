package account

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// sweeper ends the rights to answers that do not come, of all accounts. An
// account that owes answers calls it when the first of them will lapse sooner
// than it looks anyway, not for each.
type sweeper struct {
	wake chan struct{}

	mu       sync.Mutex
	accounts map[*Account]bool // that may owe answers; guarded by mu
}

func newSweeper() *sweeper {
	return &sweeper{wake: make(chan struct{}, 1), accounts: make(map[*Account]bool)}
}

func (s *sweeper) watch(a *Account) {
	s.mu.Lock()
	s.accounts[a] = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sweeper) run(ctx context.Context) error {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		now := time.Now()
		if next := s.sweep(now); next.IsZero() {
			t.Reset(time.Hour)
		} else {
			t.Reset(next.Sub(now))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-t.C:
		}
	}
}

// sweep ends what has lapsed and returns when to look again.
func (s *sweeper) sweep(now time.Time) (next time.Time) {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.accounts))
	clear(s.accounts) // who still owes comes back below, or calls
	s.mu.Unlock()
	var lapsed []*Answer
	for _, a := range all {
		gone, due := a.owed().sweep(now)
		lapsed = append(lapsed, gone...)
		if due.IsZero() {
			continue
		}
		next = sooner(next, due)
		s.mu.Lock()
		s.accounts[a] = true
		s.mu.Unlock()
	}
	for _, x := range lapsed {
		x.lapse()
	}
	return next
}
