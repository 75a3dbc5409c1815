package store

import (
	"context"
	"fmt"
	"time"
)

// BrokerOrder is what the operator's staff wants of a broker. The fleet service
// carries it out.
type BrokerOrder struct {
	Stored

	Draining bool      `json:"draining,omitempty"` // it takes no new clients and lets go of those it has
	Revoked  bool      `json:"revoked,omitempty"`  // its certificate is refused; there is no way back
	Reason   string    `json:"reason,omitempty"`
	Time     time.Time `json:"time"`
}

func brokerOrderKey(id string) string { return FleetPrefix + "order/" + id }

// BrokerOrder reads what is wanted of a broker; the zero order if nothing is.
func (v *View) BrokerOrder(ctx context.Context, id string) (BrokerOrder, error) {
	var o BrokerOrder
	return o, ignoreNotFound(v.load(ctx, brokerOrderKey(id), &o))
}

// PutBrokerOrder replaces what is wanted of a broker.
func (t *Tx) PutBrokerOrder(id string, o BrokerOrder) error {
	if t.org != "" {
		return fmt.Errorf("brokers do not belong to organization %q", t.org)
	}
	o.Time = t.Now
	return t.put(brokerOrderKey(id), o)
}
