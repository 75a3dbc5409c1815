// Package effort bounds how many processors work for connections that have not
// said yet who they are. Checking a signature or a password takes as long as
// hundreds of messages do; a storm of connects that checked all at once would
// leave none for those who are connected.
//
// What is done inside a gate only computes: whoever waits for something else there
// holds everybody up.
package effort

import (
	"runtime"

	"github.com/coveymq/covey/dataplane/internal/lookout"
)

// Gate lets so many in at a time. Who waits goes in by the order of arrival.
type Gate struct {
	room chan struct{}
	long bool // what is done inside takes milliseconds
}

// NewGate returns a gate for n at a time.
func NewGate(n int) *Gate { return &Gate{room: make(chan struct{}, max(1, n))} }

// newLongGate returns a gate for what takes so long that others are looked out for
// and let go first meanwhile.
func newLongGate(n int) *Gate {
	g := NewGate(n)
	g.long = true
	return g
}

// Do works inside the gate.
func (g *Gate) Do(work func()) {
	g.room <- struct{}{}
	defer func() { <-g.room }()
	if g.long {
		lookout.Call()
		defer lookout.Insist(lookout.GiveWay())
	}
	work()
}

// The gates of this process, because its processors are what is shared. Passwords
// have one of their own: one of them takes as long as a thousand signatures.
var (
	Signatures = NewGate(half())     //nolint:gochecknoglobals // see above
	Passwords  = newLongGate(half()) //nolint:gochecknoglobals // see above
)

// half of the processors, as the program starts with them.
func half() int { return runtime.GOMAXPROCS(0) / 2 }
