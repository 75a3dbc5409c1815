// Package secure is TLS for client connections.
//
// Options say how a listener does TLS; Load turns them into Settings, which a
// reload can replace: a connection keeps those it began with. A Conn is one
// connection's TLS state. It runs the standard library's TLS over memory instead
// of over the socket: after the handshake, who reads the socket feeds it what
// came (Feed, Read), and who writes the socket takes what was encrypted (Seal,
// Unsent, Sent). So neither side ever blocks in here, an idle connection holds
// no buffers but those of crypto/tls itself, and egress knows to the byte which
// records the kernel has taken.
//
// Reading belongs to one goroutine and writing to one at a time, which may be
// another. The package knows nothing of the NATS protocol.
package secure
