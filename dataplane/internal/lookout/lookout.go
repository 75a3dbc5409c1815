// Package lookout has somebody wait for the network while a goroutine works for
// long.
//
// The runtime's thread that waits in epoll takes the goroutine that it was woken
// for and runs it itself; no other thread takes its place as long as nothing else
// is to be run. If that goroutine works on for a while, nobody hears of what comes
// in on other connections before the runtime's monitor asks, which it does every
// 10 ms, even if a processor is idle all the while. So whoever has more than a
// little to do calls first: a goroutine becomes ready, a thread wakes up for it,
// and as there is nothing more to do it waits for the network.
//
// All brokers of a process share it, as they share the runtime.
package lookout

import "context"

var calls = make(chan struct{}) //nolint:gochecknoglobals // see above

// Call sees to it that somebody waits for the network. It costs a thread's waking
// up, some microseconds, if a processor is idle, and next to nothing otherwise.
func Call() {
	select {
	case calls <- struct{}{}:
	default: // one is on its way
	}
}

// Run answers calls until ctx ends.
func Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-calls:
		}
	}
}
