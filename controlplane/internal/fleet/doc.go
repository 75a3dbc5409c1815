// Package fleet is the control plane's end of covey.fleet.v1: it lets brokers
// in, tells them of changes, and knows how far each of them has come.
//
// It owns the keys under /covey/v1/fleet/ in etcd:
//
//	fleet/ca                 the fleet's certificate authority, its key encrypted
//	fleet/join/<sha256>      one join token, gone with its etcd lease
//	fleet/broker/<broker>    what is known of one broker, for good (JSON)
//	fleet/lease/<broker>     the session that speaks for the broker, on an etcd lease
//	fleet/acks/<plane>       what the sessions at one control plane acknowledged (JSON)
//	fleet/order/<broker>     what the operator's staff wants of the broker; others write it
//
// It only reads claims/<account> and operator, which others write, and it
// decides nothing about accounts. The revision of a claims key is the revision
// that brokers acknowledge.
//
// One goroutine (feed) watches the claims for all brokers. Each broker has a
// session: a bounded queue that the feed fills, a sender that empties it into
// the stream, a receiver, and a keeper that renews the lease and writes the
// broker's record. Acknowledgements of all brokers here are written together
// (acks). Several control planes may run at once; a broker's record is written
// only by the session that its lease key names, and only that session's
// acknowledgements count.
package fleet
