package conn

import (
	"math/rand/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// rewrite returns the subject that a message gets by the mappings of the account
// it is published in; a new one is written into room. The subject is empty, and
// matches nothing, if the message is to be dropped.
func (w *worker) rewrite(room *[]byte, l *account.Links, s []byte) []byte {
	if l.Mappings == nil {
		return s
	}
	to, mapped := l.Mappings.Select(s, w.host.clusterName, percent)
	switch {
	case !mapped:
		return s
	case to == nil:
		return nil
	}
	*room = to.Append((*room)[:0], s)
	return *room
}

// percent draws one of 0 to 99.
func percent() uint8 { return uint8(rand.Uint32N(100)) } //nolint:gosec // a spread, not a secret

// clusterName is the name of the cluster that the broker is in; empty if it
// stands alone.
func (h *Host) clusterName() string {
	if c := h.cluster.Load(); c != nil {
		return c.Name
	}
	return ""
}
