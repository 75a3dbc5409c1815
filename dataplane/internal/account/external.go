package account

import (
	"net/netip"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
)

// CalloutSubject is where a service is asked about a client. No client of its
// account may ask there.
const CalloutSubject = "$SYS.REQ.USER.AUTH"

// External is a service of an account that decides who its clients are. Immutable.
type External struct {
	Users    []string // about whom it is not asked: its own, by their keys
	Accounts []string // others of which it may issue users; "*" for all
	XKey     string   // to encrypt for; empty to encrypt nothing
}

func external(a *jwt.ExternalAuthorization) *External {
	if !a.IsEnabled() {
		return nil
	}
	return &External{Users: slices.Clone(a.AuthUsers), Accounts: slices.Clone(a.AllowedAccounts), XKey: a.XKey}
}

// Place judges a user that is in no operator's account: the limits it has, and
// until which second it may stay; 0 for ever.
func (c *Claimed) Place(remote netip.Addr, now time.Time) (limits Limits, until int64, _ *Refusal) {
	until, r := c.Rules.refuses(remote, now)
	if until == 0 || c.Expires != 0 && c.Expires < until {
		until = c.Expires
	}
	return c.Rules.Limits, until, r
}
