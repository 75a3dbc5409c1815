package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/errs"
)

const (
	batchKeys  = 100     // in one transaction; etcd takes 128
	batchBytes = 1 << 20 // in one transaction; etcd takes 1.5 MB
	pushers    = 64      // at the same time while revisions are used up
)

// Restore writes a backup into an empty store. The backup is read twice: it is
// checked to its end before the first key is written. A restore that is cut off
// leaves RestoreKey behind, and nothing starts on such a store.
//
// Revisions go on above those of the backup, so that an etag from before can
// not be taken for one from after. What brokers had acknowledged no longer
// counts: they do so again.
func Restore(ctx context.Context, etcd *clientv3.Client, from io.ReadSeeker) (Header, int64, error) {
	h, keys, err := read(from, func(line) error { return nil })
	if err != nil {
		return h, keys, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return h, keys, fmt.Errorf("read backup again: %w", err)
	}
	if err := begin(ctx, etcd, h); err != nil {
		return h, keys, err
	}
	if err := push(ctx, etcd, h.Revision); err != nil {
		return h, keys, err
	}
	b := &batch{ctx: ctx, etcd: etcd, leases: map[int64]clientv3.LeaseID{}}
	if _, _, err := read(from, b.add); err != nil {
		return h, keys, err
	}
	b.ops = append(b.ops, clientv3.OpDelete(RestoreKey))
	return h, keys, b.flush()
}

// begin makes sure that the store is empty, and that nobody takes it for whole.
func begin(ctx context.Context, etcd *clientv3.Client, h Header) error {
	text, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode header: %w", err)
	}
	r, err := etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(prefix), "=", 0).WithPrefix()).
		Then(clientv3.OpPut(RestoreKey, string(text))).Commit()
	if err != nil {
		return unavailable(err)
	}
	if !r.Succeeded {
		return errs.New(errs.Precondition, "STORE_NOT_EMPTY", "the store that is to be restored into is not empty").
			WithNext("restore into an empty etcd or a new data directory; or delete all keys that begin with /covey/")
	}
	return nil
}

// push uses up revisions until the store's are above the backup's.
func push(ctx context.Context, etcd *clientv3.Client, above int64) error {
	r, err := etcd.Get(ctx, RestoreKey, clientv3.WithCountOnly())
	if err != nil {
		return unavailable(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	left := make(chan struct{})
	var all sync.WaitGroup
	for range pushers {
		all.Go(func() {
			for range left {
				// A transaction that only deletes what is not there uses up none.
				if _, err := etcd.Put(ctx, RestoreKey, "revisions"); err != nil {
					cancel(unavailable(err))
				}
			}
		})
	}
	for i := r.Header.GetRevision(); i <= above && ctx.Err() == nil; i++ {
		select {
		case left <- struct{}{}:
		case <-ctx.Done():
		}
	}
	close(left)
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// batch collects puts into transactions.
type batch struct {
	ctx    context.Context //nolint:containedctx // a batch is one call of Restore
	etcd   *clientv3.Client
	leases map[int64]clientv3.LeaseID // by their time to live
	ops    []clientv3.Op
	bytes  int
}

func (b *batch) add(l line) error {
	value := l.value()
	if strings.HasPrefix(l.Key, brokers) {
		var err error
		if value, err = unacknowledged(l.Key, value); err != nil {
			return err
		}
	}
	var options []clientv3.OpOption
	if l.TTL > 0 {
		lease, err := b.lease(l.TTL)
		if err != nil {
			return err
		}
		options = append(options, clientv3.WithLease(lease))
	}
	if size := len(l.Key) + len(value); len(b.ops) >= batchKeys || b.bytes+size > batchBytes {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.ops = append(b.ops, clientv3.OpPut(l.Key, value, options...))
	b.bytes += len(l.Key) + len(value)
	return nil
}

func (b *batch) lease(ttl int64) (clientv3.LeaseID, error) {
	if id, made := b.leases[ttl]; made {
		return id, nil
	}
	r, err := b.etcd.Grant(b.ctx, ttl)
	if err != nil {
		return 0, unavailable(err)
	}
	b.leases[ttl] = r.ID
	return r.ID, nil
}

func (b *batch) flush() error {
	if len(b.ops) == 0 {
		return nil
	}
	if _, err := b.etcd.Txn(b.ctx).Then(b.ops...).Commit(); err != nil {
		return unavailable(err)
	}
	b.ops, b.bytes = nil, 0
	return nil
}

// unacknowledged takes out of a broker's record what it acknowledged: those
// revisions are of another history.
func unacknowledged(key, value string) (string, error) {
	var record map[string]json.RawMessage
	if err := json.Unmarshal([]byte(value), &record); err != nil {
		return "", fmt.Errorf("broker record %s: %w", key, err)
	}
	record["acked_revision"] = json.RawMessage("0")
	delete(record, "ack_time")
	delete(record, "session")
	text, err := json.Marshal(record)
	if err != nil {
		return "", fmt.Errorf("broker record %s: %w", key, err)
	}
	return string(text), nil
}

// Unfinished reports whether a restore into the store was cut off.
func Unfinished(ctx context.Context, etcd clientv3.KV) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := etcd.Get(ctx, RestoreKey, clientv3.WithCountOnly())
	if err != nil {
		return false, unavailable(err)
	}
	return r.Count > 0, nil
}
