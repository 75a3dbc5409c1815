package dataplane

// What tests outside of the package need of it.
//
//nolint:gochecknoglobals // aliases of functions
var (
	BrokerConfig = brokerConfig
	ClusterOf    = clusterOf
)
