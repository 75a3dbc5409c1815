package embedetcd

import (
	"context"
	"strconv"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestWhoHearsOfAWriteCanReadIt reads what a watch tells of at once. Etcd tells
// before others can read it, so a read that does not ask how far the log is may
// find what was there before.
func TestWhoHearsOfAWriteCanReadIt(t *testing.T) {
	s, err := open(t, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	const writes = 300
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := s.Client().Watch(ctx, "k", clientv3.WithPrefix(), clientv3.WithRev(1))
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := range writes {
			if _, err := s.Client().Put(ctx, "k"+strconv.Itoa(n), "v"); err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
		}
	})
	for heard := 0; heard < writes && !t.Failed(); {
		for _, e := range (<-events).Events {
			heard++
			got, err := s.Client().Get(ctx, string(e.Kv.Key))
			if err != nil || len(got.Kvs) == 0 || got.Header.GetRevision() < e.Kv.ModRevision {
				t.Errorf("%s was told of at revision %d, and is read as %v at %d (%v)", e.Kv.Key, e.Kv.ModRevision, got.Kvs, got.Header.GetRevision(), err)
			}
		}
	}
	cancel()
	writing.Wait()
}
