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

// Authenticate admits the client whatever it shows.
func (o *Open) Authenticate(context.Context, *Connect, string, netip.Addr) (*account.Identity, error) {
	none := account.Limits{
		Connections: account.NoLimit, Leafs: account.NoLimit,
		Subscriptions: account.NoLimit, Payload: account.NoLimit,
	}
	return &account.Identity{Account: o.Account, Limits: none}, nil
}
