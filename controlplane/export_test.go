package controlplane

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
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

// OperatorJWT is what servers are configured with that trust the operator.
func OperatorJWT(ctx context.Context, s *Server) (string, error) {
	r, err := s.etcd.client.Get(ctx, store.OperatorKey)
	if err != nil || len(r.Kvs) == 0 {
		return "", err
	}
	return string(r.Kvs[0].Value), nil
}

// StockUser is who connects to stock clusters.
func StockUser(ctx context.Context, s *Server) (tenancy.StockUser, error) {
	return tenancy.OpenStockUser(ctx, s.store, s.custody, store.StockCluster{})
}

// Signer signs accounts.
func Signer(s *Server) accounts.Signer { return s.root.Signer }
