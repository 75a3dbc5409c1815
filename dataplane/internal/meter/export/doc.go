// Package export brings a broker's usage to the ledger: it sends the meter's
// counters as cumulative OTLP sums, and believes that they arrived only when
// the control plane says so out of band, by a receipt. It owns what was sent
// and receipted; the counts belong to the meter, and nothing here changes them.
//
// What is sent is state, so sending is idempotent: a failed or doubtful export
// is simply made again, with the counts of then. The control plane may be away
// for as long as it likes.
//
// Run sends every interval. Flush and Unreceipted may be called from any
// goroutine beside it.
package export
