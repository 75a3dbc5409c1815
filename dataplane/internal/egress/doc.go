// Package egress is the outbound half of a connection, and the way from a
// publisher to it.
//
// A reader that has parsed a batch of messages stages each delivery in its
// Batch, in one chunk of memory per destination, and hands every chunk over
// once. The hand-over writes at once, without blocking, when nobody else is
// writing to that socket; what does not fit stays in the destination's queue,
// and a writer goroutine exists for as long as there is such a backlog and no
// longer. So a delivery costs no lock, no allocation and no wake-up of its own,
// and a destination that does not read never holds up who publishes.
//
// Ownership: a Batch belongs to the goroutine that uses it. In a Conn, whoever
// set writing under mu owns the socket's write side until it clears it; frames
// and control lines from others wait in the queue meanwhile. The queue is
// bounded by Limits.MaxPending, beyond which the connection is closed as a slow
// consumer. Control lines (PING, PONG, INFO, -ERR) overtake queued messages at
// the next frame boundary.
//
// What a write leads to is behind a sink: a socket in clear, or one behind TLS,
// where the bytes of a flush are gathered into full records. A message is
// delivered when the kernel has taken its last byte; behind TLS, the last byte of
// the record that holds it. Records that are made but not taken come first in the
// next write, before any control line.
package egress
