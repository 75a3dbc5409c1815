package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/errs"
)

// View reads one organization as it was at one revision: that of the View's
// first read. It is for one goroutine.
type View struct {
	store *Store
	org   string // "" is the installation itself
	rev   int64  // 0 until the first read

	keys   map[string]int64 // what was read: key -> modification revision, 0 when absent
	ranges []string         // prefixes whose whole content mattered

	sharers int // how many accounts were followed by SharingOf

	fetched map[wanted]*etcdserverpb.RangeResponse // what was read ahead
}

// View returns a view of one organization. It finds nothing at all when the
// scope does not cover the organization.
func (s *Store) View(scope Scope, organization string) (*View, error) {
	if !scope.Covers(organization) {
		return nil, ErrNotFound
	}
	return s.newView(organization), nil
}

func (s *Store) newView(organization string) *View {
	return &View{store: s, org: organization, keys: map[string]int64{}}
}

// Organization returns the id of the organization that the view is bound to.
func (v *View) Organization() string { return v.org }

func (v *View) options(more ...clientv3.OpOption) []clientv3.OpOption {
	if v.rev != 0 {
		more = append(more, clientv3.WithRev(v.rev))
	}
	return more
}

// read reads at the view's revision, which the first read settles. The later
// ones need no quorum: what a revision holds is the same on every member of etcd
// that has it.
func (v *View) read(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if v.rev == 0 {
		r, err := v.store.kv.Get(ctx, key, opts...)
		if err == nil {
			v.rev = r.Header.GetRevision()
		}
		return r, err
	}
	opts = v.options(opts...)
	r, err := v.store.kv.Get(ctx, key, append(opts, clientv3.WithSerializable())...)
	if errors.Is(err, rpctypes.ErrFutureRev) { // this member has not come so far
		return v.store.kv.Get(ctx, key, opts...)
	}
	return r, err
}

// get reads one key; found is false when it is absent.
func (v *View) get(ctx context.Context, key string) (value []byte, revision int64, err error) {
	r := v.fetched[wanted{key: key}]
	if r == nil {
		got, err := v.read(ctx, key)
		if err != nil {
			return nil, 0, unavailable("read", err)
		}
		r = (*etcdserverpb.RangeResponse)(got)
	}
	if len(r.Kvs) == 0 {
		v.keys[key] = 0
		return nil, 0, nil
	}
	v.keys[key] = r.Kvs[0].ModRevision
	return r.Kvs[0].Value, r.Kvs[0].ModRevision, nil
}

// record is what is kept under a key: JSON, with the key's revision beside it.
type record interface{ setRevision(revision int64) }

// Stored is part of every record: the revision at which it was last written.
type Stored struct {
	Revision int64 `json:"-"`
}

func (s *Stored) setRevision(revision int64) { s.Revision = revision }

// load reads a record into into; an absent one is ErrNotFound.
func (v *View) load(ctx context.Context, key string, into record) error {
	value, revision, err := v.get(ctx, key)
	if err != nil {
		return err
	}
	if revision == 0 {
		return ErrNotFound
	}
	return decode(key, value, revision, into)
}

func decode(key string, value []byte, revision int64, into record) error {
	value, err := unpack(value)
	if err != nil {
		return fmt.Errorf("record %s: %w", key, err)
	}
	if version := versionOf(value); version > SchemaVersion {
		return errNewer(version).WithCause(fmt.Errorf("record %s", key))
	}
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("decode record %s: %w", key, err)
	}
	into.setRevision(revision)
	return nil
}

// exists reports whether a key is there.
func (v *View) exists(ctx context.Context, key string) (bool, error) {
	_, revision, err := v.get(ctx, key)
	return revision != 0, err
}

// loadAll reads all records under a prefix, in key order. A Tx that commits
// conflicts with whatever was added or changed there meanwhile.
func loadAll[T any, R interface {
	*T
	record
}](ctx context.Context, v *View, prefix string,
) ([]T, error) {
	v.ranges = append(v.ranges, prefix)
	var all []T
	after := ""
	for {
		page, next, err := loadPage[T, R](ctx, v, prefix, Page{Size: pageSizeMax, After: after})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		after = next
	}
}

// unavailable classifies an error of etcd.
func unavailable(step string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s store: %w", step, err)
	}
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return errs.New(errs.Exhausted, "STORE_FULL", "the store is full").
			WithNext("its operator compacts and defragments etcd or raises its quota, then clears the NOSPACE alarm").WithCause(fmt.Errorf("%s store: %w", step, err))
	}
	return errs.New(errs.Unavailable, "STORE_UNAVAILABLE", "the store does not answer").
		WithCause(fmt.Errorf("%s store: %w", step, err)).WithRetry(retryAfter)
}
