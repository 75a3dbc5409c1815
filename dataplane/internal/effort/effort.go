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
type Gate struct{ room chan struct{} }

// NewGate returns a gate for n at a time.
func NewGate(n int) *Gate { return &Gate{room: make(chan struct{}, max(1, n))} }

// Do works inside the gate.
func (g *Gate) Do(work func()) {
	g.room <- struct{}{}
	lookout.Call()
	thread := lookout.GiveWay()
	defer func() {
		lookout.Insist(thread)
		<-g.room
	}()
	work()
}

// The gates of this process, because its processors are what is shared. Passwords
// have one of their own: one of them takes as long as a thousand signatures.
var (
	Signatures = NewGate(half()) //nolint:gochecknoglobals // see above
	Passwords  = NewGate(half()) //nolint:gochecknoglobals // see above
)

// half of the processors, as the program starts with them.
func half() int { return runtime.GOMAXPROCS(0) / 2 }
