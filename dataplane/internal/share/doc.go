// Package share is what accounts give each other, as data: exports, imports and
// subject mappings, what of them holds for whom, and which would go in circles.
//
// It is pure. It owns the rules, which are nats-server's, and no account: who
// the accounts are and what is in force is package account's, which calls it, as
// does the reader of the configuration.
package share
