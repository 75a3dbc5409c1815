package store_test

import (
	"context"
	"log/slog"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/testetcd"
)

// behind is an etcd whose member does not have the newest revision yet, unless it
// asks the others.
type behind struct {
	clientv3.KV
	local, asked int
}

func (b *behind) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if op := clientv3.OpGet(key, opts...); op.IsSerializable() {
		b.local++
		return nil, rpctypes.ErrFutureRev
	}
	b.asked++
	return b.KV.Get(ctx, key, opts...)
}

func TestAMemberThatIsBehindAsksTheOthers(t *testing.T) {
	etcd := testetcd.New(t)
	s := prepare(t, etcd, etcd)
	c := store.Change{Scope: store.Everything(), Organization: "acme", Actor: "key_test", Method: "Test"}
	_, _, err := store.Update(t.Context(), s, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		return struct{}{}, store.Outcome{}, tx.CreateAccount(ctx, store.Account{ID: "orders", PublicKey: "A"})
	})
	if err != nil {
		t.Fatal(err)
	}
	kv := &behind{KV: etcd}
	v, err := store.New(kv, etcd, slog.New(slog.DiscardHandler)).View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if a, err := v.Account(t.Context(), "orders"); err != nil || a.PublicKey != "A" {
		t.Errorf("account %+v, %v", a, err)
	}
	if kv.asked != 2 || kv.local != 1 {
		t.Errorf("%d reads of the member alone and %d of all, want one (the second) and then two", kv.local, kv.asked)
	}
}
