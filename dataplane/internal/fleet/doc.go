// Package fleet is the broker's end of covey.fleet.v1: it enrols the broker,
// keeps a session with the control plane, looks accounts up, hands changes to a
// Sink and acknowledges what is in force.
//
// It owns the broker's identity in the fleet and a cache of signed claims, both
// in the state directory, so that a broker that starts while the control plane
// is away still serves the accounts it knew. It knows nothing of connections,
// and trusts nobody with claims: whatever comes from the control plane or from
// the disk counts only if the operator's key signed it.
//
// State directory:
//
//	identity.json      broker id, private key, certificate, roots (0600, JSON)
//	operator.jwt       the operator's JWT as last seen
//	contact.json       when the control plane was last heard, and for how long that is good
//	claims/<hh>/<key>  {"revision":…,"jwt":…}, hh from the key's hash
//
// Which accounts the control plane tells us of: all that are in the cache or
// loaded. So the cache of a broker that acknowledged a revision is never behind
// it, even for accounts that nobody uses.
//
// A Client's methods may be called from any goroutine. Sink is called from one.
package fleet
