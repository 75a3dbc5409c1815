package account

import "sync/atomic"

// Shed counts what limits kept out: of an account since it was loaded, or of a
// broker since it started. What slows somebody is not in it.
type Shed struct {
	Refused       Shedding      // published, and over a rate or the data of the month
	Dropped       Shedding      // deliveries over a rate, or without room for them
	Subscriptions atomic.Uint64 // refused
	Connections   atomic.Uint64 // refused
}

// Shedding is messages, and their bytes with headers.
type Shedding struct{ Messages, Bytes atomic.Uint64 }

// Add counts one message.
func (s *Shedding) Add(size int) {
	s.Messages.Add(1)
	s.Bytes.Add(uint64(max(0, size))) //nolint:gosec // not negative
}
