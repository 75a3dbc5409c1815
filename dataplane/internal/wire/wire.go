// Package wire is the NATS client protocol as bytes: a parser that works in
// place on a connection's read buffer and the constants of the answers. It is
// pure: no sockets, no locks, no authorization, no allocation per operation.
//
// Grammar and tolerances follow nats-server 2.15: verbs are case-insensitive,
// arguments are separated by spaces or tabs, a line ends with LF and a CR
// before it is dropped, and PING, PONG and +OK ignore the rest of their line.
package wire

import (
	"errors"
	"fmt"
)

// Kind is the kind of an operation.
type Kind uint8

// The operations: first those that a client may send.
const (
	None Kind = iota
	Connect
	Pub
	HPub
	Sub
	Unsub
	Ping
	Pong
	OK
	Err
	Info
	// Between brokers; see RouteParser.
	RouteSub
	RouteUnsub
	LeafSub
	LeafUnsub
	AccountSub
	AccountUnsub
	RouteMsg
)

// Errors of the parser. All of them end the connection.
var (
	// ErrUnknownOperation is a byte that fits no verb, or a payload that does
	// not end in CRLF.
	ErrUnknownOperation = errors.New("unknown protocol operation")
	// ErrUnended is a payload that does not end in CRLF: an unknown operation of
	// which the line is known.
	ErrUnended = fmt.Errorf("%w: a payload without its end", ErrUnknownOperation)
	// ErrMaxControlLine is a control line over the limit.
	ErrMaxControlLine = errors.New("maximum control line exceeded")
	// ErrMaxPayload is a message over the limit.
	ErrMaxPayload = errors.New("maximum payload exceeded")
	// ErrArguments is a PUB or HPUB line with missing, extra or impossible
	// arguments. nats-server closes such a connection without an -ERR.
	ErrArguments = errors.New("bad arguments")
	// ErrNoHeaders is an HPUB of a client that has not said it uses headers.
	ErrNoHeaders = errors.New("headers not supported")
)

// Answers that never vary.
const (
	CRLF     = "\r\n"
	PingLine = "PING\r\n"
	PongLine = "PONG\r\n"
	OKLine   = "+OK\r\n"
)

// ErrLine returns the line that tells a client of an error.
func ErrLine(text string) string { return "-ERR '" + text + "'\r\n" }
