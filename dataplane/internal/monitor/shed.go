package monitor

import "github.com/coveymq/covey/dataplane/internal/account"

// Shed is what limits kept out of an account since it was loaded.
type Shed struct {
	Refused              MsgBytes `json:"refused"`
	Dropped              MsgBytes `json:"dropped"`
	RefusedSubscriptions uint64   `json:"refused_subscriptions"`
	RefusedConnections   uint64   `json:"refused_connections"`
}

// shedOf returns nil for nothing, so that an account without limits looks as it
// does at nats-server.
func shedOf(s *account.Shed) *Shed {
	out := Shed{
		Refused:              MsgBytes{s.Refused.Messages.Load(), s.Refused.Bytes.Load()},
		Dropped:              MsgBytes{s.Dropped.Messages.Load(), s.Dropped.Bytes.Load()},
		RefusedSubscriptions: s.Subscriptions.Load(), RefusedConnections: s.Connections.Load(),
	}
	if out == (Shed{}) {
		return nil
	}
	return &out
}
