package conn

import (
	"net"
	"sync"
	"time"
)

// greeters are the goroutines that take connections from their first byte to
// the point where they idle. They are used again: authentication needs a deep
// stack, and growing a new one for every connection costs more than the
// authentication does.
type greeters struct {
	begin   sync.Once
	end     sync.Once
	waiting chan net.Conn // to a greeter that has nothing to do
	over    chan struct{} // closed when no more connections come
}

// greeterIdle is how long a greeter waits for another connection.
const greeterIdle = 5 * time.Second

func (g *greeters) start() {
	g.begin.Do(func() {
		g.waiting = make(chan net.Conn)
		g.over = make(chan struct{})
	})
}

// dismiss ends the greeters that wait.
func (g *greeters) dismiss() {
	g.start()
	g.end.Do(func() { close(g.over) })
}

// next waits for another connection; false when the greeter is not needed.
func (g *greeters) next(patience *time.Timer) (net.Conn, bool) {
	patience.Reset(greeterIdle)
	select {
	case nc := <-g.waiting:
		return nc, true
	case <-patience.C:
	case <-g.over:
	}
	return nil, false
}

// Go serves a connection in a goroutine for which Close waits.
func (h *Host) Go(nc net.Conn) {
	h.greeters.start()
	select {
	case h.greeters.waiting <- nc:
	default:
		h.wg.Go(func() { h.greet(nc) })
	}
}

func (h *Host) greet(nc net.Conn) {
	patience := time.NewTimer(greeterIdle)
	defer patience.Stop()
	for more := true; more; {
		h.serve(nc)
		nc, more = h.greeters.next(patience)
	}
}
