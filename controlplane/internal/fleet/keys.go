package fleet

// The part of the etcd layout that this package touches.
const (
	root         = "/covey/v1/"
	operatorKey  = root + "operator"
	claimsPrefix = root + "claims/"
	caKey        = root + "fleet/ca"
	joinPrefix   = root + "fleet/join/"
	brokerPrefix = root + "fleet/broker/"
	leasePrefix  = root + "fleet/lease/"
	orderPrefix  = root + "fleet/order/"
	acksPrefix   = root + "fleet/acks/"
)
