// Package conn is a client's connection: from the socket through the parser to
// interest and egress.
//
// One goroutine per connection, its reader, runs serve from accept to close. It
// owns the parser, the subscriptions' life and the permissions, and while it
// waits for the socket it holds no buffer. What it needs while it works on a
// batch (read buffer, staging, scratch) it borrows from a pool. Others may only
// deliver to the connection (egress), end it (Disconnect) or change its rules
// (Permit); they never wait for it.
package conn
