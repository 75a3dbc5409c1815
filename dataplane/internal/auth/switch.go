package auth

import (
	"context"
	"net/netip"
	"sync/atomic"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// Switch is an authenticator that can be replaced while connections use it.
type Switch struct{ current atomic.Pointer[Static] }

// NewSwitch returns a switch that is set to s.
func NewSwitch(s *Static) *Switch {
	w := &Switch{}
	w.current.Store(s)
	return w
}

// Current returns what is in force.
func (w *Switch) Current() *Static { return w.current.Load() }

// Set puts another one in force.
func (w *Switch) Set(s *Static) { w.current.Store(s) }

// Required reports whether clients must show something.
func (w *Switch) Required() bool { return w.Current().Required() }

// Greeting is what a client is told before it says anything.
func (w *Switch) Greeting() Greeting { return w.Current().Greeting() }

// Authenticate asks what is in force.
func (w *Switch) Authenticate(ctx context.Context, c *Connect, nonce string, remote netip.Addr) (*account.Identity, error) {
	return w.Current().Authenticate(ctx, c, nonce, remote)
}
