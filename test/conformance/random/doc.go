// Package random draws whole sessions by itself and has stock nats-server judge
// the broker by them: a configuration, several connections, and what each of
// them says, sensible and not. What both servers answer is compared as the
// scripts of package conformance are; a session they answer differently becomes
// as short as it can and is shown as such a script.
//
// The package owns the drawing, the shrinking and the running of both servers
// for many sessions. Everything is drawn from a seed, so that a run can be
// repeated. It keeps away from what is no server's promise (which member of a
// queue group hears a message, chances of mappings) and from the differences
// that we keep on purpose. docs/conformance.md describes how to run it.
//
// Nothing here is safe for several goroutines but what has no state; each seed
// has its own servers.
package random
