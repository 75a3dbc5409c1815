// Package testetcd gives each test an etcd of its own: in process, in a
// temporary directory, without fsync, listening on nothing.
package testetcd

import (
	"log/slog"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/embedetcd"
)

// New returns the client of a new, empty etcd that ends with the test.
func New(t testing.TB) *clientv3.Client {
	t.Helper()
	server, err := embedetcd.Start(t.Context(), embedetcd.Config{
		Dir:           t.TempDir(),
		Logger:        slog.New(slog.DiscardHandler),
		UnsafeNoFsync: true,
	})
	if err != nil {
		t.Fatalf("start etcd: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("stop etcd: %v", err)
		}
	})
	return server.Client()
}
