// Package netsim is a network that fails on purpose: TCP forwarders on loopback
// that cut, delay, slow down, refuse and sever, each direction by itself, while
// what stands on either side stays as it is.
//
// It is for tests of programs that talk to each other. It owns its listeners,
// connections and goroutines; Close waits for all of them. It never drops or
// reorders bytes within a connection, because TCP does not either: what is cut
// arrives when the cut is healed, or never if the connection is severed first.
package netsim
