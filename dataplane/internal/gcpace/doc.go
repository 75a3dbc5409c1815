// Package gcpace decides how much garbage the broker may leave between two
// collections.
//
// Delivery makes next to none, and memory is what idle connections take, so the
// heap may grow by little. But whoever connects makes some kilobytes, and with
// thousands a second that little is used up every few milliseconds: then
// collecting costs a quarter of the processor's time, and who wants something
// meanwhile waits for it. So while collections follow each other fast, the heap
// may grow by some megabytes, whatever it holds, and when it is calm again by
// little, as before.
package gcpace
