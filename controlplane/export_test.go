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

// StoreSize says how large etcd's database is, and how much of it is in use.
func StoreSize(s *Server) (file, used int64) { return s.etcd.own.Size() }

// Tidy forgets all of the store's history and gives back the room.
func Tidy(ctx context.Context, s *Server) error {
	r, err := s.etcd.client.Get(ctx, "/")
	if err != nil {
		return err
	}
	if err := Compact(ctx, s, r.Header.GetRevision()); err != nil {
		return err
	}
	return s.etcd.own.Defragment()
}

// SystemAccount is the public key of the system account.
func SystemAccount(s *Server) string { return s.root.Installation.SystemAccount }
