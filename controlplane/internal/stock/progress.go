package stock

import (
	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

// Servers shows the servers of clusters as operations see brokers: a server that
// answers has to acknowledge, and one that does not may serve an older state for
// ever. A cluster of which no server is known yet stands for itself.
func Servers(clusters []store.FollowedCluster) []operation.Broker {
	var all []operation.Broker
	for _, c := range clusters {
		if len(c.Status.Servers) == 0 {
			all = append(all, operation.Broker{ID: tenancy.StockClusterName(c.ID), ServerName: c.ID, Stock: true})
		}
		for _, s := range c.Status.Servers {
			all = append(all, operation.Broker{
				ID: tenancy.StockClusterName(c.ID) + "/servers/" + s.ID, ServerName: c.ID + "/" + s.Name,
				AckedRevision: s.AckedRevision, AckTime: s.AckTime, Leased: s.Present && c.Status.Unreachable.IsZero(), Stock: true,
				Version: s.Version, LastContact: s.LastSeen,
			})
		}
	}
	return all
}
