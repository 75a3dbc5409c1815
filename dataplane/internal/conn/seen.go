package conn

import (
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/seen"
)

// noteSeen writes into the book that a client is connected with a credential. Whom
// a service of the account vouches for has none.
func (h *Host) noteSeen(id *account.Identity, now time.Time) {
	if h.Seen == nil || id == nil || id.External || id.IssuedAt == 0 {
		return
	}
	h.Seen.Note(seen.Credential{Account: id.Account.Key, User: id.User, IssuedAt: id.IssuedAt}, now)
}

// NoteSeen writes into the book who is connected, of one part of so many into which
// connections are divided.
func (h *Host) NoteSeen(part, parts uint64, now time.Time) {
	for _, c := range h.Clients() {
		if c.id%parts == part {
			h.noteSeen(c.Identity(), now)
		}
	}
}
