package fleet

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// order is what the operator's staff wants of a broker. It is apart from the
// broker's record, which its session writes. Whoever writes it is not this
// package's matter.
type order struct {
	Draining bool `json:"draining,omitempty"`
	Revoked  bool `json:"revoked,omitempty"` // whatever its certificate says, it is no broker of ours
}

func decodeOrder(value []byte) (order, error) {
	var o order
	if err := json.Unmarshal(value, &o); err != nil {
		return order{}, fmt.Errorf("decode order: %w", err)
	}
	return o, nil
}

func ordersOf(kvs []*mvccpb.KeyValue) (map[string]order, error) {
	orders := make(map[string]order, len(kvs))
	for _, kv := range kvs {
		o, err := decodeOrder(kv.Value)
		if err != nil {
			return nil, err
		}
		orders[string(kv.Key[len(orderPrefix):])] = o
	}
	return orders, nil
}

// applyOrders hands orders to the sessions that they are for.
func (f *feed) applyOrders(resp clientv3.WatchResponse) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range resp.Events {
		broker, o := string(e.Kv.Key[len(orderPrefix):]), order{}
		if e.Type == mvccpb.Event_PUT {
			var err error
			if o, err = decodeOrder(e.Kv.Value); err != nil {
				return err
			}
		}
		f.orders[broker] = o
		for q := range f.queues {
			if q.broker == broker {
				q.putOrder(o)
			}
		}
	}
	return nil
}

// revoked reports whether a broker's certificate is refused, as far as is known
// here: a moment after the order was given.
func (f *feed) revoked(broker string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.orders[broker].Revoked
}
