// Package accounts is the identity domain that both planes share: ids and
// names, key pairs, limits, permissions, and the signed claims that say which
// operator vouches for which account and which account for which user.
//
// It is pure: no I/O, no clock of its own except the issue time that the JWT
// library stamps, no goroutines. All values may be used from many goroutines
// as long as nobody changes them.
//
// Everything signed here is accepted by a stock nats-server in operator mode.
package accounts
