// Package soak wears a broker out: clients that mean harm, and hours of ordinary
// life in short. The broker is a process of its own, so that its memory and its
// goroutines can be told from those of the clients.
//
// What is asserted is what must hold on any machine: memory per connection that
// has not said who it is, memory and goroutines after the load has gone, and that
// other tenants lose nothing and see the right order. Latencies are logged.
package soak
