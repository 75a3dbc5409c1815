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
func New(tb testing.TB) *clientv3.Client {
	tb.Helper()
	server, err := embedetcd.Start(tb.Context(), embedetcd.Config{
		Dir:           tb.TempDir(),
		Logger:        slog.New(slog.DiscardHandler),
		UnsafeNoFsync: true,
	})
	if err != nil {
		tb.Fatalf("start etcd: %v", err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Errorf("stop etcd: %v", err)
		}
	})
	return server.Client()
}
