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
// clients only. What is advertised is what is implemented: no leaf node interest,
// no message tracing, no gateways.
//
// A link begins with the TLS handshake, if routes are encrypted. Then comes the
// peer's INFO, with which compression is negotiated, and only what follows that
// is compressed; so who reads a link reads through up to two layers, and
// egress's sinks are their counterpart.
//
// Locks, in the order in which they may be held together: Mesh.mu, tenant.mu,
// the mutex of an account's interest index, tenant.outMu, a connection's.
package route
