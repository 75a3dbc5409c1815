package fleettest

import (
	"context"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// watcher is an etcd watcher that can lose events, as one does that was away for
// longer than history is kept.
type watcher struct {
	clientv3.Watcher
	wg sync.WaitGroup

	mu  sync.Mutex
	now *spell // of the watches that begin; guarded by mu
}

// spell is what the watches that began between two compactions have in common. What
// they missed they do not hear of later, even if it was under way for long.
type spell struct {
	deaf atomic.Bool
	lost chan struct{} // closed to end them as compacted
}

func newWatcher(real clientv3.Watcher) *watcher {
	return &watcher{Watcher: real, now: &spell{lost: make(chan struct{})}}
}

func (w *watcher) spell() *spell {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Watch passes the real watch on, while it is not deaf.
func (w *watcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	s := w.spell()
	in := w.Watcher.Watch(ctx, key, opts...)
	out := make(chan clientv3.WatchResponse)
	w.wg.Go(func() {
		defer close(out)
		for {
			var resp clientv3.WatchResponse
			select {
			case r, ok := <-in:
				if !ok {
					return
				}
				if s.deaf.Load() {
					continue
				}
				resp = r
			case <-s.lost:
				resp = clientv3.WatchResponse{CompactRevision: 1, Canceled: true}
			case <-ctx.Done():
				return
			}
			select {
			case out <- resp:
			case <-ctx.Done():
				return
			}
			if resp.Canceled {
				return
			}
		}
	})
	return out
}

// LoseEvents has the control plane miss all changes until Compacted.
func (cp *ControlPlane) LoseEvents() { cp.watcher.spell().deaf.Store(true) }

// Compacted ends the control plane's watches the way etcd does when the history
// they need is gone.
func (cp *ControlPlane) Compacted() {
	cp.watcher.mu.Lock()
	defer cp.watcher.mu.Unlock()
	close(cp.watcher.now.lost)
	cp.watcher.now = &spell{lost: make(chan struct{})}
}
