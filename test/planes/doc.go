// Package planes puts a load on three control planes: accounts are made through
// the API beside brokers that acknowledge every change, on an etcd of three
// members and a Postgres, while control planes run or are killed. Everything is
// a process of its own but the callers and the brokers, which are simulated.
//
// Its test is short; with -accounts it is a measurement, which test/bench runs
// for its section controlplane.
package planes
