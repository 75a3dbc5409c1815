// Package system is the broker's side of the system account: the requests under
// $SYS.REQ that it answers, the events under $SYS that it publishes, and the few
// requests to the broker that clients of every account may make. Subjects,
// payloads and options are nats-server's.
//
// It makes answers from the snapshots of package monitor and owns no state of
// connections or accounts. What nobody listens to is not made. Requests of the
// system account wait in bounded queues and are handled in two goroutines, one of
// them for the short ones by which brokers find each other; those of other
// accounts are handled by whoever makes them. Only the broker's assembly calls it.
package system
