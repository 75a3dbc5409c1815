package fleettest

import (
	"context"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// watcher is an etcd watcher that can lose events, as one does that was away for
// longer than history is kept.
type watcher struct {
	clientv3.Watcher
	wg sync.WaitGroup

	mu   sync.Mutex
	deaf bool
	lost chan struct{} // closed to end all watches as compacted
}

func newWatcher(real clientv3.Watcher) *watcher {
	return &watcher{Watcher: real, lost: make(chan struct{})}
}

// Watch passes the real watch on, while it is not deaf.
func (w *watcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	w.mu.Lock()
	lost := w.lost
	w.mu.Unlock()
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
				if w.isDeaf() {
					continue
				}
				resp = r
			case <-lost:
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

func (w *watcher) isDeaf() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.deaf
}

// LoseEvents has the control plane miss all changes until Compacted.
func (cp *ControlPlane) LoseEvents() {
	cp.watcher.mu.Lock()
	defer cp.watcher.mu.Unlock()
	cp.watcher.deaf = true
}

// Compacted ends the control plane's watches the way etcd does when the history
// they need is gone.
func (cp *ControlPlane) Compacted() {
	cp.watcher.mu.Lock()
	defer cp.watcher.mu.Unlock()
	cp.watcher.deaf = false
	close(cp.watcher.lost)
	cp.watcher.lost = make(chan struct{})
}
