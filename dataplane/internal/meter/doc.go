// Package meter counts what accounts use, so exactly that it can be billed.
//
// A Meter owns one usage file: four counters per account and UTC hour, and one
// intent per connection, mapped into memory. Because the pages belong to the
// kernel the counts survive kill -9 of the process; the next process adopts
// the file and reports it under the incarnation that wrote it. The meter does
// not send anything (package export does) and knows neither prices nor names.
//
// # Concurrency
//
// Account.Published, Account.Delivered, Intent.Set and Intent.Clear are the hot
// path: they take no lock, read no clock and allocate nothing. An Intent belongs
// to one connection. Everything else takes the meter's one mutex and may be
// called from any goroutine. Only Run moves counters to the next hour.
//
// # The file
//
// docs/formats/usage-file.md draws it byte by byte. In short: a header page,
// then segments of 256 KiB, each of records or of intents. All words are in
// the byte order of the machine, because the file never leaves it.
package meter
