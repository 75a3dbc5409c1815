package fleet

import "time"

// duty is whether the broker is to serve. The operator may have it drain, and
// its right to serve alone ends. It is for the goroutine that has the session,
// or none.
type duty struct {
	draining bool // as the control plane said last
	lapsed   bool // the right to serve alone has ended
}

const (
	whyDraining = "it is being drained"
	whyLapsed   = "the control plane has been away for longer than it may serve alone"
)

// resting reports whether the broker is not to serve.
func (d duty) resting() bool { return d.draining || d.lapsed }

// become takes a new duty, and tells the sink what changes.
func (d *duty) become(next duty, sink Sink) {
	was := *d
	*d = next
	switch {
	case next == was:
	case next.lapsed && !was.lapsed:
		sink.Withdraw(whyLapsed)
	case next.draining && !was.resting():
		sink.Withdraw(whyDraining)
	case !next.resting():
		sink.Resume()
	}
}

// checkRight ends the service of a broker whose right to serve alone has passed.
// One that never had it serves nobody anyway: it knows no account.
func (c *Client) checkRight(now time.Time, sink Sink) {
	until := c.ServeUntil()
	c.duty.become(duty{draining: c.duty.draining, lapsed: !until.IsZero() && !now.Before(until)}, sink)
}
