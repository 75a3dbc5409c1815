package store_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/testetcd"
)

// counted counts calls of etcd.
type counted struct {
	clientv3.KV
	calls int
}

func (c *counted) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	c.calls++
	return c.KV.Get(ctx, key, opts...)
}

func (c *counted) Txn(ctx context.Context) clientv3.Txn {
	c.calls++
	return c.KV.Txn(ctx)
}

// Who calls is found out in one call of etcd, and is never what was known before.
func TestAnAPIKeyAndItsHolderAreReadAtOnce(t *testing.T) {
	etcd := testetcd.New(t)
	s := prepare(t, etcd, etcd)
	update := func(f func(ctx context.Context, tx *store.Tx) error) {
		t.Helper()
		c := store.Change{Scope: store.Everything(), Organization: "acme", Actor: "key_test", Method: "Test"}
		_, _, err := store.Update(t.Context(), s, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
			return struct{}{}, store.Outcome{}, f(ctx, tx)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	update(func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.CreateServiceAccount(ctx, store.ServiceAccount{ID: "ci"}),
			tx.CreateMember(ctx, store.Member{ID: "ann", Bindings: []store.RoleBinding{{Role: "owner"}}}),
			tx.CreateAPIKey(ctx, store.APIKey{ID: "key_1", ServiceAccount: "ci"}))
	})
	kv := &counted{KV: etcd}
	s2 := store.New(kv, etcd, slog.New(slog.DiscardHandler))
	read := func(when string, calls int) (store.Bearer, error) {
		t.Helper()
		kv.calls = 0
		k, err := s2.APIKey(t.Context(), "key_1")
		if err != nil {
			return store.Bearer{}, err
		}
		b, err := s2.BearerOf(t.Context(), k)
		if kv.calls != calls {
			t.Errorf("%s: %d calls of etcd, want %d", when, kv.calls, calls)
		}
		return b, err
	}
	for when, calls := range []int{2, 1} {
		if b, err := read("unchanged", calls); err != nil || b.Disabled {
			t.Errorf("read %d: %+v, %v", when, b, err)
		}
	}
	update(func(_ context.Context, tx *store.Tx) error {
		return tx.PutServiceAccount(store.ServiceAccount{ID: "ci", Disabled: true})
	})
	if b, err := read("disabled", 1); err != nil || !b.Disabled {
		t.Errorf("a disabled service account: %+v, %v", b, err)
	}
	update(func(_ context.Context, tx *store.Tx) error {
		return tx.PutAPIKey(store.APIKey{ID: "key_1", Organization: "acme", Member: "ann"})
	})
	if b, err := read("of somebody else", 2); err != nil || len(b.Bindings) != 1 {
		t.Errorf("a key that changed hands: %+v, %v", b, err)
	}
	update(func(_ context.Context, tx *store.Tx) error {
		tx.DeleteServiceAccount(store.ServiceAccount{ID: "ci"}, []store.APIKey{{ID: "key_1"}})
		return nil
	})
	if _, err := read("deleted", 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a deleted key: %v", err)
	}
}
