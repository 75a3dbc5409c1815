package controlplane

import (
	"context"
	"net/http"

	"github.com/coveymq/covey/controlplane/internal/alerts"
	"github.com/coveymq/covey/controlplane/internal/api"
	"github.com/coveymq/covey/controlplane/internal/fleet"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// openAlerts makes who looks at what organizations use, and tells receivers. It needs
// the ledger, the fleet and the rules of tenants.
func (s *Server) openAlerts(cfg Config) {
	s.alerts = alerts.New(alerts.Config{
		Store: s.store, Tenancy: s.tenancy, Custody: s.custody, Ledger: s.ledger, Counter: accountCounter{s.fleet},
		Client: cfg.receiverClient(), Logger: cfg.Logger,
	})
	s.singleton(s.alerts.Run)
	s.singleton(s.alerts.Deliver)
}

// receiverClient posts to the receivers of alerts.
func (c Config) receiverClient() *http.Client {
	if c.ReceiverClient == nil && c.PrivateReceivers {
		return &http.Client{}
	}
	return c.ReceiverClient
}

// accountCounter lets alerts ask brokers.
type accountCounter struct{ *fleet.Service }

// CountAccounts asks all brokers that are there.
func (c accountCounter) CountAccounts(ctx context.Context, accounts []string) (map[string]int64, int, error) {
	of := make([]fleet.Selection, len(accounts))
	for i, key := range accounts {
		of[i].Account = key
	}
	n, err := c.CountConnections(ctx, of)
	if err != nil {
		return nil, 0, err
	}
	counts := make(map[string]int64, len(accounts))
	for i, key := range accounts {
		counts[key] = n.Connections[i]
	}
	return counts, len(n.Missing), nil
}

// receivers lets the API try receivers of alerts out.
type receivers struct{ *alerts.Engine }

// TestReceiver posts a notification that is none.
func (r receivers) TestReceiver(ctx context.Context, organization string, p store.AlertPolicy) (api.ReceiverTest, error) {
	t, err := r.Test(ctx, organization, p)
	return api.ReceiverTest{ID: t.ID, Status: t.Status, Answer: t.Answer, Err: t.Err}, err
}
