package store

import (
	"context"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const batchMax = 100 // reads in one etcd transaction; etcd takes 128

// Org reads the organization that the view is bound to.
func (v *View) Org(ctx context.Context) (Organization, error) {
	var o Organization
	return o, v.load(ctx, v.orgKey("self"), &o)
}

// Org reads the organization, with what this change put.
func (t *Tx) Org(ctx context.Context) (Organization, error) {
	if t.self.known {
		return t.self.value, nil
	}
	o, err := t.View.Org(ctx)
	if err == nil {
		t.self = cached[Organization]{o, true}
	}
	return o, err
}

// PutOrg replaces an organization that was read.
func (t *Tx) PutOrg(o Organization) error {
	t.self = cached[Organization]{o, true}
	return t.put(t.orgKey("self"), o)
}

// CreateOrg puts the organization that the Tx is bound to.
func (t *Tx) CreateOrg(ctx context.Context, o Organization) error {
	if err := t.create(ctx, t.orgKey("self"), o); err != nil {
		return err
	}
	t.self = cached[Organization]{o, true}
	return t.put(organizationIndexKey(o.ID), struct{}{})
}

// Organizations lists the organizations that a scope covers, by id.
func (s *Store) Organizations(ctx context.Context, scope Scope, p Page) ([]Organization, string, error) {
	if !scope.all {
		v, err := s.View(scope, scope.organization)
		if err != nil || p.After >= scope.organization {
			return nil, "", ignoreNotFound(err)
		}
		o, err := v.Org(ctx)
		if err != nil {
			return nil, "", ignoreNotFound(err)
		}
		return []Organization{o}, "", nil
	}
	v := s.newView("")
	names, next, err := loadKeys(ctx, v, organizationIndexPrefix(), p)
	if err != nil {
		return nil, "", err
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = root + "org/" + name + "/self"
	}
	orgs, err := loadBatch[Organization](ctx, v, keys)
	return orgs, next, err
}

func ignoreNotFound(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}

// loadKeys reads one page of the keys under prefix, without it.
func loadKeys(ctx context.Context, v *View, prefix string, p Page) ([]string, string, error) {
	from := prefix
	if p.After != "" {
		from = prefix + p.After + "\x00"
	}
	r, err := v.read(ctx, from, clientv3.WithKeysOnly(),
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix)), clientv3.WithLimit(int64(p.Size)))
	if err != nil {
		return nil, "", unavailable("list", err)
	}
	names := make([]string, len(r.Kvs))
	for i, kv := range r.Kvs {
		names[i] = strings.TrimPrefix(string(kv.Key), prefix)
	}
	if !r.More || len(names) == 0 {
		return names, "", nil
	}
	return names, names[len(names)-1], nil
}

// loadBatch reads records by key, leaving out the absent ones.
func loadBatch[T any, R interface {
	*T
	record
}](ctx context.Context, v *View, keys []string,
) ([]T, error) {
	var items []T
	err := v.batch(ctx, keys, func(key string, value []byte, revision int64) error {
		var item T
		if err := decode(key, value, revision, R(&item)); err != nil {
			return err
		}
		items = append(items, item)
		return nil
	})
	return items, err
}

// batch reads keys in few round trips and calls each for those that are there,
// in the order of keys.
func (v *View) batch(ctx context.Context, keys []string, each func(key string, value []byte, revision int64) error) error {
	for len(keys) > 0 {
		n := min(len(keys), batchMax)
		ops := make([]clientv3.Op, n)
		for i, key := range keys[:n] {
			ops[i] = clientv3.OpGet(key, v.options()...)
		}
		r, err := v.store.kv.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return unavailable("list", err)
		}
		for i, resp := range r.Responses {
			for _, kv := range resp.GetResponseRange().Kvs {
				if err := each(keys[i], kv.Value, kv.ModRevision); err != nil {
					return err
				}
			}
		}
		keys = keys[n:]
	}
	return nil
}
