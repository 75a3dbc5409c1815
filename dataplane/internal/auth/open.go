package auth

import (
	"context"
	"net/netip"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// Open lets everybody into one account: a broker without any authentication.
type Open struct {
	Account *account.Account
}

// Required is always false.
func (o *Open) Required() bool { return false }

// Greeting asks for nothing.
func (o *Open) Greeting() Greeting { return Greeting{} }

// Authenticate admits the client whatever it shows.
func (o *Open) Authenticate(context.Context, *Connect, string, netip.Addr) (*account.Identity, error) {
	return &account.Identity{Account: o.Account, Limits: Unlimited()}, nil
}
