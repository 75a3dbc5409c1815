package controlplane

import (
	"context"
	"time"

	"github.com/coveymq/covey/controlplane/internal/api"
	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/internal/errs"
)

// noFleet is the fleet of a control plane that serves no brokers of ours, only
// stock nats-servers through the resolver.
type noFleet struct{}

// Brokers implements operation.Fleet.
func (noFleet) Brokers(context.Context) ([]operation.Broker, error) { return nil, nil }

// noLedger answers for a control plane without a usage ledger.
type noLedger struct{}

// QueryUsage implements api.UsageReader.
func (noLedger) QueryUsage(context.Context, []string, time.Time, time.Time) ([]api.AccountUsage, error) {
	return nil, errs.New(errs.Unavailable, "NO_LEDGER", "this control plane keeps no usage ledger")
}
