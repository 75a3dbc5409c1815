package authn

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const useGrain = 5 * time.Minute // how exact the last use of a key is kept

// Uses notes when API keys are accepted: the first time at once, and then once
// per useGrain. It may be used from many goroutines.
type Uses struct {
	write func(ctx context.Context, key string, at time.Time) error
	log   *slog.Logger
	wake  chan struct{} // one slot

	mu    sync.Mutex
	noted map[string]time.Time // guarded by mu: when the latest noted use of a key was; pruned to one useGrain
	fresh map[string]time.Time // guarded by mu: what is not written yet; a part of noted
}

// NewUses returns a Uses that writes with write.
func NewUses(write func(ctx context.Context, key string, at time.Time) error, log *slog.Logger) *Uses {
	return &Uses{
		write: write, log: log.With("component", "authn"), wake: make(chan struct{}, 1),
		noted: map[string]time.Time{}, fresh: map[string]time.Time{},
	}
}

// Note tells that a key was accepted.
func (u *Uses) Note(key string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.Sub(u.noted[key]) < useGrain {
		return
	}
	u.noted[key], u.fresh[key] = now, now
	select {
	case u.wake <- struct{}{}:
	default: // it is about to look
	}
}

// Run writes what was noted until ctx ends. What cannot be written is noted
// again at the key's next use.
func (u *Uses) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.wake:
		}
		u.flush(ctx)
	}
}

func (u *Uses) flush(ctx context.Context) {
	for key, at := range u.take() {
		if err := u.write(ctx, key, at); err != nil && ctx.Err() == nil {
			u.log.WarnContext(ctx, "last use of an API key not kept", "key", key, "err", err)
			u.mu.Lock()
			delete(u.noted, key)
			u.mu.Unlock()
		}
	}
}

func (u *Uses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	fresh := u.fresh
	u.fresh = map[string]time.Time{}
	for key, at := range u.noted {
		if time.Since(at) >= useGrain {
			delete(u.noted, key)
		}
	}
	return fresh
}
