// Package transform rewrites subjects: by the functions that a destination may
// hold (`$1`, `{{partition(3,1)}}` and so on), and by weighted mappings that
// choose among destinations.
//
// It is pure, and means what nats-server 2.15 means by the same text, errors
// included. It knows no accounts: what a rewritten subject is good for is up to
// those who import it, package account and the reader of the configuration.
package transform
