package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Broker is what is known of one broker. It is stored as JSON.
type Broker struct {
	ID            string    `json:"-"`
	ServerName    string    `json:"server_name"`
	Version       string    `json:"version,omitempty"`
	IncarnationID string    `json:"incarnation_id,omitempty"`
	EnrolledAt    time.Time `json:"enrolled_at"`

	// AckedRevision is a watermark: all claims up to it are in force there. As it
	// is stored it is what was known when the record was written; what its session
	// acknowledged since is in the table of the control plane that it is at.
	AckedRevision int64     `json:"acked_revision"`
	AckTime       time.Time `json:"ack_time,omitzero"`

	// Session may write the record, and its acknowledgements count.
	Session string `json:"session,omitempty"`

	// LastContact is written every minute or so, not at each heartbeat.
	LastContact time.Time `json:"last_contact,omitzero"`
	// ServeUntil is when the broker, left alone, has stopped serving for certain.
	ServeUntil time.Time `json:"serve_until,omitzero"`
	// Exited is the broker's own word that it serves nobody any more.
	Exited bool `json:"exited,omitempty"`

	// Authorities are the CAs that the broker trusts, the one first that signed its
	// certificate; none if its version does not tell.
	Authorities []string `json:"authorities,omitempty"`

	Connections int64 `json:"connections,omitempty"` // at LastContact
	Accounts    int64 `json:"accounts,omitempty"`    // at LastContact

	// Leased says that the broker is there now.
	Leased bool `json:"-"`
	// Draining and Revoked are what the operator's staff wants of it.
	Draining bool `json:"-"`
	Revoked  bool `json:"-"`

	modRevision int64 // of the record, for compare-and-swap
}

// authoritiesMax bounds what a broker may say that it trusts.
const authoritiesMax = 8

func idsOf(fingerprints [][]byte) []string {
	var ids []string
	for _, sum := range fingerprints[:min(len(fingerprints), authoritiesMax)] {
		ids = append(ids, idOf(sum))
	}
	return ids
}

// BrokerProgress is how far one broker is with one revision.
type BrokerProgress struct {
	Broker
	// Acknowledged says that the revision is in force at this broker.
	Acknowledged bool
}

// Brokers lists all brokers that are known, ordered by id.
func (s *Service) Brokers(ctx context.Context) ([]Broker, error) {
	return readBrokers(ctx, s.etcd)
}

// Progress tells for each broker whether revision is in force there. Records
// and leases are read at one revision of the store.
func (s *Service) Progress(ctx context.Context, revision int64) ([]BrokerProgress, error) {
	brokers, err := readBrokers(ctx, s.etcd)
	if err != nil {
		return nil, err
	}
	progress := make([]BrokerProgress, len(brokers))
	for i, b := range brokers {
		progress[i] = BrokerProgress{Broker: b, Acknowledged: b.AckedRevision >= revision}
	}
	return progress, nil
}

func readBrokers(ctx context.Context, etcd clientv3.KV) ([]Broker, error) {
	got, err := etcd.Txn(ctx).Then(
		clientv3.OpGet(brokerPrefix, clientv3.WithPrefix()),
		clientv3.OpGet(leasePrefix, clientv3.WithPrefix()),
		clientv3.OpGet(orderPrefix, clientv3.WithPrefix()),
		clientv3.OpGet(acksPrefix, clientv3.WithPrefix()),
	).Commit()
	if err != nil {
		return nil, fmt.Errorf("read brokers: %w", err)
	}
	leases := make(map[string]string)
	for _, kv := range got.Responses[1].GetResponseRange().Kvs {
		leases[string(kv.Key[len(leasePrefix):])] = string(kv.Value)
	}
	orders, err := ordersOf(got.Responses[2].GetResponseRange().Kvs)
	if err != nil {
		return nil, err
	}
	acks, err := decodeTables(got.Responses[3].GetResponseRange().Kvs)
	if err != nil {
		return nil, err
	}
	var brokers []Broker
	for _, kv := range got.Responses[0].GetResponseRange().Kvs {
		b, err := decodeBroker(string(kv.Key), kv.Value, kv.ModRevision)
		if err != nil {
			return nil, err
		}
		lease := leases[b.ID]
		b.Leased = lease != ""
		b.acknowledge(acks, lease)
		b.Draining, b.Revoked = orders[b.ID].Draining, orders[b.ID].Revoked
		brokers = append(brokers, b)
	}
	return brokers, nil
}

// readBroker returns false if there is no such broker.
func readBroker(ctx context.Context, etcd clientv3.KV, id string) (Broker, bool, error) {
	got, err := etcd.Txn(ctx).Then(
		clientv3.OpGet(brokerPrefix+id), clientv3.OpGet(leasePrefix+id), clientv3.OpGet(orderPrefix+id),
		clientv3.OpGet(acksPrefix, clientv3.WithPrefix()),
	).Commit()
	if err != nil {
		return Broker{}, false, fmt.Errorf("read broker: %w", err)
	}
	kvs := got.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 0 {
		return Broker{}, false, nil
	}
	b, err := decodeBroker(string(kvs[0].Key), kvs[0].Value, kvs[0].ModRevision)
	if err != nil {
		return Broker{}, false, err
	}
	lease := ""
	if kvs := got.Responses[1].GetResponseRange().Kvs; len(kvs) == 1 {
		lease, b.Leased = string(kvs[0].Value), true
	}
	if kvs := got.Responses[2].GetResponseRange().Kvs; len(kvs) == 1 {
		o, err := decodeOrder(kvs[0].Value)
		if err != nil {
			return Broker{}, false, err
		}
		b.Draining, b.Revoked = o.Draining, o.Revoked
	}
	acks, err := decodeTables(got.Responses[3].GetResponseRange().Kvs)
	if err != nil {
		return Broker{}, false, err
	}
	b.acknowledge(acks, lease)
	return b, true, nil
}

func decodeBroker(key string, value []byte, modRevision int64) (Broker, error) {
	b := Broker{ID: key[len(brokerPrefix):], modRevision: modRevision}
	if err := json.Unmarshal(value, &b); err != nil {
		return Broker{}, fmt.Errorf("decode broker %s: %w", b.ID, err)
	}
	return b, nil
}

// put is the operation that stores the record.
func (b *Broker) put() (clientv3.Op, error) {
	value, err := json.Marshal(b)
	if err != nil {
		return clientv3.Op{}, fmt.Errorf("encode broker: %w", err)
	}
	return clientv3.OpPut(brokerPrefix+b.ID, string(value)), nil
}
