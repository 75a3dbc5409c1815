package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	namedKept   = 24 * time.Hour // how long a request id is remembered that a caller may come back with
	namedShared = time.Hour      // how long one lease serves new records of those

	// The other records only tell the tries of one call from each other; no call
	// tries for as long as this.
	unnamedKept   = 10 * time.Minute
	unnamedShared = 5 * time.Minute
)

// requestLeases hands out one etcd lease for all request records of a while.
type requestLeases struct {
	named        bool          // their ids are known to callers
	kept, shared time.Duration // a lease lives for as long as it is shared, and is kept that much more

	mu    sync.Mutex
	id    clientv3.LeaseID // guarded by mu
	since time.Time        // guarded by mu
}

// current returns the lease of the records of now.
func (l *requestLeases) current(ctx context.Context, etcd clientv3.Lease) (clientv3.LeaseID, error) {
	l.mu.Lock()
	id, since := l.id, l.since
	l.mu.Unlock()
	if id != 0 && time.Since(since) < l.shared {
		return id, nil
	}
	r, err := etcd.Grant(ctx, int64((l.kept+l.shared)/time.Second))
	if err != nil {
		return 0, unavailable("lease", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.id, l.since = r.ID, time.Now()
	return l.id, nil
}

// forget drops a lease that etcd does not know, so that the next change takes a
// new one.
func (l *requestLeases) forget(err error) {
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.id = 0
}
