package fleettest

import (
	"context"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// reader is an etcd client whose reads can be made to fail.
type reader struct {
	clientv3.KV

	mu  sync.Mutex
	err error
}

// Get fails if it was told to.
func (r *reader) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	r.mu.Lock()
	err := r.err
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return r.KV.Get(ctx, key, opts...)
}

// FailReads makes single reads of the store fail with err, or work again if nil.
func (cp *ControlPlane) FailReads(err error) {
	cp.reader.mu.Lock()
	defer cp.reader.mu.Unlock()
	cp.reader.err = err
}
