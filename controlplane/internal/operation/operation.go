// Package operation computes how far a change has travelled through the fleet.
// Nothing rewrites an operation: its state follows from its revision and from
// what the brokers have acknowledged.
package operation

import (
	"context"
	"fmt"
	"time"

	"github.com/coveymq/covey/internal/lifecycle"
)

// State is how far a change is.
type State int

// The states, in the order in which they are reached.
const (
	Running  State = iota // written, not acknowledged by every leased broker
	Enforced              // every leased broker acknowledged it
	Done                  // and nobody else can still serve the old state
)

// BrokerProgress is what one broker has acknowledged.
type BrokerProgress struct {
	Broker       string    // identity in the fleet
	DisplayName  string    // its server name
	Acknowledged bool      // the revision asked for, or a later one
	AckTime      time.Time // of the latest acknowledgement
	Leased       bool
	Exited       bool      // it said goodbye: nothing of it serves any more
	ServeUntil   time.Time // without contact it serves until then
}

// ProgressReader tells what the brokers have acknowledged.
type ProgressReader interface {
	// Progress returns all brokers of the fleet as they stand to a revision.
	Progress(ctx context.Context, revision int64) ([]BrokerProgress, error)
}

// StateOf computes the state of a change. With no brokers at all it is done.
func StateOf(brokers []BrokerProgress, now time.Time) State {
	state := Done
	for _, b := range brokers {
		switch {
		case b.Acknowledged:
		case b.Leased:
			return Running
		case !b.Exited && now.Before(b.ServeUntil):
			state = Enforced
		}
	}
	return state
}

const (
	pollMin = 20 * time.Millisecond // brokers acknowledge within a few of these
	pollMax = 500 * time.Millisecond
)

// Wait reads progress until the change reaches the wanted state or ctx ends;
// then it returns what was read last.
func Wait(ctx context.Context, progress ProgressReader, revision int64, until State) ([]BrokerProgress, State, error) {
	backoff := lifecycle.Backoff{Min: pollMin, Max: pollMax}
	var last []BrokerProgress
	state, read := Running, false
	for {
		brokers, err := progress.Progress(ctx, revision)
		switch {
		case err == nil:
			last, state, read = brokers, StateOf(brokers, time.Now()), true
		case ctx.Err() != nil && read:
			return last, state, nil
		default:
			return nil, Running, fmt.Errorf("read fleet progress: %w", err)
		}
		if state >= until || backoff.Wait(ctx) != nil {
			return last, state, nil
		}
	}
}

// PollDelay suggests when asking for the state again is worth it.
func PollDelay(state State) time.Duration {
	switch state {
	case Running:
		return pollMax
	case Enforced:
		return time.Minute // what is left waits for a broker's lease or grace to end
	}
	return 0
}
