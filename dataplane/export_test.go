package dataplane

// What tests outside of the package need of it.
//
//nolint:gochecknoglobals // aliases of functions
var (
	BrokerConfig = brokerConfig
	ClusterOf    = clusterOf
)

// Parts returns what parts of its rates an account has at the broker; nil if it
// has none.
func (b *Broker) Parts(account string) (parts []int64) {
	if a := b.accounts.Loaded(account); a != nil {
		for _, r := range a.Rates() {
			parts = append(parts, r.Part())
		}
	}
	return parts
}
