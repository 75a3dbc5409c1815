package stock

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane/internal/store"
)

// queueMax is how many accounts may wait one by one; more are compared anew.
const queueMax = 100_000

// errPlaceLost means that what happened is not known change by change.
var errPlaceLost = errors.New("too much has happened")

// queue is the accounts whose claims changed and were not pushed yet. An account
// is in it once, however often it changed.
type queue struct {
	signal chan struct{} // one slot: something waits
	begun  chan struct{} // closed once changes are being seen

	mu        sync.Mutex
	keys      map[string]struct{}
	watermark int64 // everything up to it was put in
}

func newQueue() *queue {
	return &queue{signal: make(chan struct{}, 1), begun: make(chan struct{}), keys: map[string]struct{}{}}
}

// follow puts changes in, from a revision on or, with 0, from now.
func (q *queue) follow(ctx context.Context, w clientv3.Watcher, from int64) error {
	watching, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := w.Watch(watching, store.ClaimsPrefix, clientv3.WithPrefix(), clientv3.WithRev(from),
		clientv3.WithCreatedNotify(), clientv3.WithKeysOnly())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r, ok := <-changes:
			if !ok {
				return errWatchEnded
			}
			if err := r.Err(); errors.Is(err, rpctypes.ErrCompacted) {
				return errPlaceLost
			} else if err != nil {
				return fmt.Errorf("watch claims: %w", err)
			}
			if r.Created {
				close(q.begun)
			}
			if !q.put(r.Events) {
				return errPlaceLost
			}
		}
	}
}

func (q *queue) put(events []*clientv3.Event) bool {
	if len(events) == 0 {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range events {
		q.keys[string(e.Kv.Key[len(store.ClaimsPrefix):])] = struct{}{}
		q.watermark = max(q.watermark, e.Kv.ModRevision)
	}
	q.wake()
	return len(q.keys) <= queueMax
}

// take empties the queue. What it returns covers everything up to the watermark.
func (q *queue) take() (keys []string, watermark int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key := range q.keys {
		keys = append(keys, key)
	}
	clear(q.keys)
	return keys, q.watermark
}

// back puts keys in again that could not be pushed.
func (q *queue) back(keys []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, key := range keys {
		q.keys[key] = struct{}{}
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.keys)
}

func (q *queue) wake() {
	select {
	case q.signal <- struct{}{}:
	default:
	}
}
