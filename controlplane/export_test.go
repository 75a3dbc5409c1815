package controlplane

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Compact forgets the store's history up to a revision.
func Compact(ctx context.Context, s *Server, revision int64) error {
	_, err := s.etcd.client.Compact(ctx, revision, clientv3.WithCompactPhysical())
	return err
}
