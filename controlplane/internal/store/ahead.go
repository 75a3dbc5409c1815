package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// wanted is a key, or all keys under a prefix, that will be read.
type wanted struct {
	key    string
	prefix bool
}

// ahead reads several things in one call to etcd, at the view's revision. What
// is read later finds them here, and until then they count as not read: a change
// conflicts over what it looked at only.
func (v *View) ahead(ctx context.Context, all ...wanted) error {
	r, err := v.fetch(ctx, all, v.rev != 0)
	if v.rev != 0 && errors.Is(err, rpctypes.ErrFutureRev) { // as in read
		r, err = v.fetch(ctx, all, false)
	}
	if err != nil {
		return unavailable("read", err)
	}
	v.rev = max(v.rev, r.Header.GetRevision())
	if v.fetched == nil {
		v.fetched = make(map[wanted]*etcdserverpb.RangeResponse, len(all))
	}
	for i, w := range all {
		v.fetched[w] = r.Responses[i].GetResponseRange()
	}
	return nil
}

func (v *View) fetch(ctx context.Context, all []wanted, serializable bool) (*clientv3.TxnResponse, error) {
	ops := make([]clientv3.Op, len(all))
	for i, w := range all {
		opts := v.options()
		if serializable {
			opts = append(opts, clientv3.WithSerializable())
		}
		if w.prefix {
			opts = append(opts, clientv3.WithPrefix(), clientv3.WithLimit(pageSizeMax))
		}
		ops[i] = clientv3.OpGet(w.key, opts...)
	}
	r, err := v.store.kv.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return nil, fmt.Errorf("read ahead: %w", err)
	}
	return r, nil
}

// bearersMax bounds the keys of which it is remembered whose they are.
const bearersMax = 1 << 14

// bearers remembers under which key an API key's holder is, so that both are
// read at once the next time. It only says what to read: whoever is asked for is
// found, from what was read, anew each time.
type bearers struct {
	mu sync.Mutex
	of map[string]string // by the API key's id
}

func (b *bearers) get(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of[id]
}

func (b *bearers) put(id, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of[id] == key {
		return
	}
	if b.of == nil || len(b.of) >= bearersMax {
		b.of = make(map[string]string)
	}
	b.of[id] = key
}
