package conn

import (
	"sync/atomic"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/refusals"
)

// denied counts what permissions refused a connection since it was told. Its own
// counters cost a flood of refusals no lock.
type denied struct {
	publishes, subscriptions atomic.Uint64
}

// tell writes into a book what was counted, and begins anew.
func (d *denied) tell(book *refusals.Book, id *account.Identity, now time.Time) {
	if d.publishes.Load() == 0 && d.subscriptions.Load() == 0 || id == nil {
		return
	}
	const reason = "the permissions do not allow the subject"
	if n := d.publishes.Swap(0); n > 0 {
		book.Add(id.Account.Key, id.User, refusals.Publish, reason, n, now)
	}
	if n := d.subscriptions.Swap(0); n > 0 {
		book.Add(id.Account.Key, id.User, refusals.Subscribe, reason, n, now)
	}
}

// TellRefusals writes into the book what connections were refused since the last
// time.
func (h *Host) TellRefusals(now time.Time) {
	for _, c := range h.Clients() {
		c.denied.tell(h.Refusals, c.Identity(), now)
	}
}

// noteRefused writes down that the client was not let in. Whose account it is of is
// what its JWT says, which somebody signed, if not who the account trusts.
func (c *Client) noteRefused(r *account.Refusal) {
	if c.host.Refusals == nil {
		return
	}
	key, user := "", ""
	if claims, err := jwt.DecodeUserClaims(c.connect.JWT); err == nil {
		key, user = claims.Issuer, claims.Subject
		if claims.IssuerAccount != "" {
			key = claims.IssuerAccount
		}
	}
	c.host.Refusals.Add(key, user, refusals.Connect, r.Log, 1, time.Now())
}
