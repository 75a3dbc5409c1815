// Package dataplane is the broker: it speaks NATS to clients, keeps accounts
// apart, and counts what they use.
//
// It knows NATS, accounts and counters; it knows nothing of etcd, billing or
// the web. A Broker is stateless: what it needs comes from its configuration,
// or from the control plane it is enrolled with. Losing the control plane stops
// nothing.
package dataplane
