package controlplane

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/stock"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

// followStock has clusters of stock nats-servers follow the accounts.
func (s *Server) followStock(cfg Config) func(context.Context) error {
	return stock.New(stock.Config{
		Store: s.store, Watcher: s.etcd.client, Logger: cfg.Logger,
		User: func(ctx context.Context, c store.StockCluster) (tenancy.StockUser, error) {
			return tenancy.OpenStockUser(ctx, s.store, s.custody, c)
		},
		Deletion: func(ctx context.Context, keys []string) (string, error) {
			return tenancy.SignDeletion(ctx, s.store, s.custody, keys)
		},
	}).Run
}
