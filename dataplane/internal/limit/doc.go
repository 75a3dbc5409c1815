// Package limit decides whether what a connection does is within the rates of
// its account and its user. It knows neither connections nor the wire.
//
// What is not limited has no Gate, so that the price is one comparison with nil.
// A Gate is shared by all connections that are limited together: its buckets are
// single atomic words, of one account each.
package limit
