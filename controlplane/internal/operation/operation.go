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

// Broker is one broker of the fleet and what it has acknowledged.
type Broker struct {
	ID            string    // identity in the fleet
	ServerName    string    // its display name
	AckedRevision int64     // a watermark: all claims up to it are in force there
	AckTime       time.Time // of the latest acknowledgement
	Leased        bool
	Exited        bool      // it said goodbye: nothing of it serves any more
	ServeUntil    time.Time // without contact it serves until then

	// Stock says that it is a stock nats-server: left alone it serves for ever.
	Stock bool

	// What follows is for people, and no part of how far a change is.
	Version               string
	Connections, Accounts int64 // at LastContact
	EnrolTime             time.Time
	LastContact           time.Time // as it was written down
	Draining, Revoked     bool      // as the operator's staff wants
	Authorities           []string  // that it trusts, the one first that signed its certificate
}

// Fleet tells what the brokers have acknowledged.
type Fleet interface {
	// Brokers returns all brokers of the fleet, as they are at one moment.
	Brokers(ctx context.Context) ([]Broker, error)
}

// StateOf computes the state of the change of a revision. With no brokers at
// all it is done.
func StateOf(brokers []Broker, revision int64, now time.Time) State {
	state := Done
	for _, b := range brokers {
		switch {
		case b.AckedRevision >= revision:
		case b.Leased:
			return Running
		case b.Stock || !b.Exited && now.Before(b.ServeUntil):
			state = Enforced
		}
	}
	return state
}

const (
	pollMin = 20 * time.Millisecond // brokers acknowledge within a few of these
	pollMax = 500 * time.Millisecond
)

// Wait watches the fleet until the change reaches the wanted state or ctx ends;
// then it returns what was read last.
func Wait(ctx context.Context, fleet Fleet, revision int64, until State) ([]Broker, State, error) {
	backoff := lifecycle.Backoff{Min: pollMin, Max: pollMax}
	var last []Broker
	state, read := Running, false
	for {
		brokers, err := fleet.Brokers(ctx)
		if err == nil {
			last, state, read = brokers, StateOf(brokers, revision, time.Now()), true
		} else if ctx.Err() == nil || !read {
			return nil, Running, fmt.Errorf("read brokers: %w", err)
		}
		if state >= until || backoff.Wait(ctx) != nil {
			return last, state, nil //nolint:nilerr // ctx ended the wait: what was read before is the answer
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
	case Done:
	}
	return 0
}
