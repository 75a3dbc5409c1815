package store_test

import (
	"log/slog"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/store/storetest"
	"github.com/coveymq/covey/internal/etcdclient"
	"github.com/coveymq/covey/internal/testetcd"
)

func dial(t *testing.T, c *testetcd.Cluster) *clientv3.Client {
	t.Helper()
	client, err := etcdclient.Dial(t.Context(), etcdclient.Config{Endpoints: c.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// The contract holds over a cluster elsewhere, also while a member is down.
func TestConformanceOverACluster(t *testing.T) {
	c := testetcd.NewCluster(t, 3, testetcd.Options{})
	client := dial(t, c)
	suite := func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) *store.Store {
			if _, err := client.Delete(t.Context(), "/covey/", clientv3.WithPrefix()); err != nil {
				t.Fatal(err)
			}
			s := store.New(client, client, slog.New(slog.DiscardHandler))
			if err := s.Prepare(t.Context(), resealed); err != nil {
				t.Fatal(err)
			}
			return s
		})
	}
	t.Run("three members", suite)
	c.Members[0].Kill(t)
	c.Await(t)
	t.Run("two members", suite)
}
