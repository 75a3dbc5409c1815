// Package billing owns the words of usage and money: what is metered, what a
// sample is, and what a ledger promises. It holds no connection to anything;
// package ledger keeps the samples, and knows nothing of where they came from.
package billing

import (
	"context"
	"time"
)

// Meter names a quantity that is counted.
type Meter string

// The meters. docs/counting.md says what counts.
const (
	Published      Meter = "published"       // messages accepted from publishers
	Delivered      Meter = "delivered"       // messages that the kernel took for subscribers
	PublishedBytes Meter = "published_bytes" // headers and payload of the published
	DeliveredBytes Meter = "delivered_bytes" // headers and payload of the delivered
)

// ClassStandard is the class of ordinary messages.
const ClassStandard = "standard"

// Window is the length of what a sample counts: a UTC hour.
const Window = time.Hour

// WindowOf returns the beginning of the window that t belongs to, as Unix seconds.
func WindowOf(t time.Time) int64 {
	const seconds = int64(Window / time.Second)
	s := t.Unix()
	return s - s%seconds
}

// Sample is the state of one counter: everything that one incarnation of a
// broker counted for one account, class and meter in one hour, so far. All but
// Value is its key; of two samples with one key the larger is the newer.
type Sample struct {
	Incarnation string // one start of one broker process
	Account     string // public key
	Class       string
	Meter       Meter
	Window      int64 // Unix seconds of the UTC hour's beginning
	Value       int64 // never negative
}

// AccountUsage is what an account used over some hours, all brokers together.
type AccountUsage struct {
	Account        string // public key
	Published      int64
	PublishedBytes int64
	Delivered      int64
	DeliveredBytes int64
	Reported       time.Time // when a broker last reported; zero if none ever did
}

// Recorded says what became of the samples of one Record.
type Recorded struct {
	Raised int // values that were not there, or were lower
	Same   int // repeats
	Lower  int // values lower than what was there; they changed nothing
}

// Ledger keeps samples. Its methods may be called from any goroutine.
//
// It keeps the maximum of each key, so that a sample may be recorded any number
// of times and in any order: when the answer to a Record was lost, record again.
type Ledger interface {
	// Record keeps the samples, all or none, and returns after they are durable.
	// A value of zero is no sample. Recording an account takes its quarantined
	// samples of hours that have begun out of quarantine.
	Record(ctx context.Context, samples []Sample) (Recorded, error)

	// Quarantine keeps samples that nobody is charged for yet. They count for
	// Receipts, because they are kept, and not for Usage.
	Quarantine(ctx context.Context, samples []Sample, reason string) error

	// Usage sums up the hours from the one that holds from to the one that holds
	// to, both included: one entry per account asked for, in that order. It never
	// speaks of an account that it was not asked for.
	Usage(ctx context.Context, accounts []string, from, to time.Time) ([]AccountUsage, error)

	// Receipts sums up what is kept of one incarnation, one receipt per window
	// asked for and in that order.
	Receipts(ctx context.Context, incarnation string, windows []int64) ([]Receipt, error)

	// HasAccount reports whether Record ever kept a sample of the account.
	HasAccount(ctx context.Context, account string) (bool, error)
}
