// Package route joins brokers to a cluster, by nats-server's route protocol, so
// that stock servers may stand among ours.
//
// It owns the connections between brokers (links), who is in the mesh (peers),
// and which interest crosses it (tenants). It refuses to own delivery to
// clients, which is conn's, and what an account may do: a link carries accounts
// side by side, and all its peers are trusted. Only the broker's assembly calls
// it.
//
// A message takes at most one hop: what comes from a link goes to our own
// clients only. What is advertised is what is implemented: no compression, no
// leaf node interest, no message tracing, no gateways.
//
// Locks, in the order in which they may be held together: Mesh.mu, tenant.mu,
// the mutex of an account's interest index, tenant.outMu, a connection's.
package route
