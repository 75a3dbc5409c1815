// Package conformance compares a broker with stock nats-server at the client
// wire. A script, a small text under testdata, says what named connections
// send; the runner plays it against both servers and compares every byte each
// connection received, after masking what must differ (ids, nonces, ports).
// Stock nats-server is the judge: no answer is written down by hand.
//
// The package owns the script language, the player, the masks and the list of
// differences kept on purpose. It does not know how a broker works inside.
// docs/conformance.md describes the script language.
//
// A Script is read-only once parsed and may be played from several goroutines;
// each play has its own connections, keys and transcript.
package conformance
