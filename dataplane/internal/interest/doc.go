// Package interest is the index of an account's subscriptions: who wants a
// subject.
//
// It owns the subscriptions' places in the index and nothing else; it knows no
// connections, permissions or protocols. Subscribing and unsubscribing take the
// index's mutex. Matching takes no lock at all: every structure that a reader
// walks is either immutable or reached by one atomic load, and a reader that
// runs beside a writer sees each subscription either before or after the
// change, never twice and never half.
package interest
