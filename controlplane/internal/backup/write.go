package backup

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/errs"
)

const pageKeys = 500 // read in one go

// Write copies the store as it is now. The schema and the installation in the
// header are the caller's to know.
func Write(ctx context.Context, etcd *clientv3.Client, h Header, w io.Writer) (Header, error) {
	now, err := etcd.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return h, unavailable(err)
	}
	h.Format, h.Version, h.Revision, h.Time = format, version, now.Header.GetRevision(), time.Now().UTC().Truncate(time.Second)
	zip := gzip.NewWriter(w)
	out := &writer{ctx: ctx, etcd: etcd, to: zip, sum: sha256.New(), leases: map[int64]int64{}}
	if err := out.encode(h); err != nil {
		return h, err
	}
	if err := out.all(h.Revision); err != nil {
		return h, err
	}
	end := line{Keys: &out.keys, SHA256: hex.EncodeToString(out.sum.Sum(nil))}
	if err := out.encode(end); err != nil {
		return h, err
	}
	if err := zip.Close(); err != nil {
		return h, fmt.Errorf("write backup: %w", err)
	}
	return h, nil
}

type writer struct {
	ctx    context.Context //nolint:containedctx // a writer is one call of Write
	etcd   *clientv3.Client
	to     io.Writer
	sum    hash.Hash
	keys   int64
	leases map[int64]int64 // seconds that each has left
}

func (w *writer) encode(v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode backup: %w", err)
	}
	_, _ = w.sum.Write(text.Bytes())
	if _, err := w.to.Write(text.Bytes()); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

func (w *writer) all(revision int64) error {
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		r, err := w.etcd.Get(w.ctx, from, clientv3.WithRange(end), clientv3.WithRev(revision), clientv3.WithLimit(pageKeys))
		if err != nil {
			return unavailable(err)
		}
		for _, kv := range r.Kvs {
			if err := w.pair(kv); err != nil {
				return err
			}
		}
		if !r.More || len(r.Kvs) == 0 {
			return nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

func (w *writer) pair(kv *mvccpb.KeyValue) error {
	key := string(kv.Key)
	if strings.HasPrefix(key, fleetLeases) || strings.HasPrefix(key, fleetAcks) || strings.HasPrefix(key, stockStatus) || strings.HasPrefix(key, elections) {
		return nil
	}
	l := line{Key: key, Value: string(kv.Value)}
	if !utf8.Valid(kv.Value) {
		l.Value, l.Binary = "", kv.Value
	}
	if kv.Lease != 0 {
		ttl, known := w.leases[kv.Lease]
		if !known {
			left, err := w.etcd.TimeToLive(w.ctx, clientv3.LeaseID(kv.Lease))
			if err != nil {
				return unavailable(err)
			}
			ttl = left.TTL
			w.leases[kv.Lease] = ttl
		}
		if ttl <= 0 {
			return nil // it has ended since
		}
		l.TTL = ttl
	}
	w.keys++
	return w.encode(l)
}

func unavailable(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("store: %w", err)
	case errors.Is(err, rpctypes.ErrCompacted):
		return errs.New(errs.Unavailable, "BACKUP_TOO_SLOW", "the store dropped the state that was being copied").
			WithNext("let etcd keep its history for an hour, and write the backup to something faster").WithCause(err)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return errs.New(errs.Exhausted, "STORE_FULL", "the store is full").WithNext("raise etcd's quota").WithCause(err)
	}
	return errs.New(errs.Unavailable, "STORE_UNAVAILABLE", "the store does not answer").WithCause(err)
}
