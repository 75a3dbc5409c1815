package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// StockPrefix is where clusters of stock nats-servers are written down.
const StockPrefix = root + "sys/stock/"

// stockStatusPrefix is how far each of them is. It is apart because who keeps it
// is not who changes a cluster, and leaves no audit entries.
const stockStatusPrefix = FleetPrefix + "stock/"

// StockCluster is a cluster of stock nats-servers that follows our accounts.
// Secrets are sealed.
type StockCluster struct {
	Stored

	ID          string   `json:"id"`
	DisplayName string   `json:"display_name,omitempty"`
	URLs        []string `json:"urls"`
	TLSCA       string   `json:"tls_ca,omitempty"`
	TLSCert     string   `json:"tls_cert,omitempty"`
	SealedKey   []byte   `json:"sealed_tls_key,omitempty"`
	SealedCreds []byte   `json:"sealed_creds,omitempty"` // none: made when they are needed

	// Resync is how often somebody wanted everything to be pushed anew, and
	// ForgetAbsent whether the last one vouched for who does not answer.
	Resync       int64 `json:"resync,omitempty"`
	ForgetAbsent bool  `json:"forget_absent,omitempty"`

	CreateTime time.Time `json:"create_time"`
}

// StockServer is a server of a cluster, and how far it is.
type StockServer struct {
	Name          string    `json:"name"`
	ID            string    `json:"id"`
	Version       string    `json:"version,omitempty"`
	AckedRevision int64     `json:"acked_revision"` // a watermark, as of brokers
	AckTime       time.Time `json:"ack_time,omitzero"`
	Present       bool      `json:"present,omitempty"`
	Unsure        bool      `json:"unsure,omitempty"` // it may lack something from before AckedRevision's successors
	LastSeen      time.Time `json:"last_seen,omitzero"`
}

// StockStatus is how far a cluster is.
type StockStatus struct {
	Stored

	Servers     []StockServer `json:"servers,omitempty"`
	Behind      int64         `json:"behind,omitempty"`
	Foreign     int64         `json:"foreign,omitempty"`
	Unreachable time.Time     `json:"unreachable_since,omitzero"`
	Error       string        `json:"error,omitempty"`
	ErrorTime   time.Time     `json:"error_time,omitzero"`
	VerifyTime  time.Time     `json:"verify_time,omitzero"`
	Resynced    int64         `json:"resynced,omitempty"` // which Resync of the cluster was carried out
}

// FollowedCluster is a cluster with how far it is.
type FollowedCluster struct {
	StockCluster
	Status StockStatus
}

func stockKey(id string) string       { return StockPrefix + id }
func stockStatusKey(id string) string { return stockStatusPrefix + id }

// StockCluster reads one cluster.
func (v *View) StockCluster(ctx context.Context, id string) (StockCluster, error) {
	var c StockCluster
	return c, v.load(ctx, stockKey(id), &c)
}

// StockClusters reads all clusters. A Tx that commits conflicts with whichever was
// added meanwhile.
func (v *View) StockClusters(ctx context.Context) ([]StockCluster, error) {
	return loadAll[StockCluster](ctx, v, StockPrefix)
}

// PutStockCluster replaces a cluster that was read.
func (t *Tx) PutStockCluster(c StockCluster) error {
	if t.org != "" {
		return fmt.Errorf("stock clusters do not belong to organization %q", t.org)
	}
	return t.put(stockKey(c.ID), c)
}

// CreateStockCluster puts a new cluster.
func (t *Tx) CreateStockCluster(ctx context.Context, c StockCluster) error {
	taken, err := t.exists(ctx, stockKey(c.ID))
	if err != nil {
		return err
	}
	if taken {
		return ErrExists
	}
	return t.PutStockCluster(c)
}

// DeleteStockCluster removes a cluster, and how far it was.
func (t *Tx) DeleteStockCluster(id string) {
	t.remove(stockKey(id))
	t.remove(stockStatusKey(id))
}

// FollowedClusters reads all clusters, each with how far it is, at one moment.
func (s *Store) FollowedClusters(ctx context.Context) ([]FollowedCluster, error) {
	r, err := s.kv.Txn(ctx).Then(
		clientv3.OpGet(StockPrefix, clientv3.WithPrefix()), clientv3.OpGet(stockStatusPrefix, clientv3.WithPrefix()),
	).Commit()
	if err != nil {
		return nil, unavailable("list", err)
	}
	statuses := map[string]StockStatus{}
	for _, kv := range r.Responses[1].GetResponseRange().Kvs {
		var status StockStatus
		if err := decode(string(kv.Key), kv.Value, kv.ModRevision, &status); err != nil {
			return nil, err
		}
		statuses[strings.TrimPrefix(string(kv.Key), stockStatusPrefix)] = status
	}
	var all []FollowedCluster
	for _, kv := range r.Responses[0].GetResponseRange().Kvs {
		var c StockCluster
		if err := decode(string(kv.Key), kv.Value, kv.ModRevision, &c); err != nil {
			return nil, err
		}
		all = append(all, FollowedCluster{c, statuses[c.ID]})
	}
	return all, nil
}

// StockStatus reads how far a cluster is; nothing is known of a new one.
func (s *Store) StockStatus(ctx context.Context, id string) (StockStatus, error) {
	var status StockStatus
	return status, ignoreNotFound(s.newView("").load(ctx, stockStatusKey(id), &status))
}

// PutStockStatus writes down how far a cluster is, if the cluster is there and
// nobody else wrote since status was read. It returns status with its new
// revision; ok is false when it was not written.
func (s *Store) PutStockStatus(ctx context.Context, id string, status StockStatus) (_ StockStatus, ok bool, err error) {
	text, err := json.Marshal(status)
	if err != nil {
		return status, false, fmt.Errorf("encode status of %s: %w", id, err)
	}
	key := stockStatusKey(id)
	r, err := s.kv.Txn(ctx).If(
		clientv3.Compare(clientv3.ModRevision(key), "=", status.Revision),
		clientv3.Compare(clientv3.ModRevision(stockKey(id)), ">", 0), s.fenceCompare(),
	).Then(clientv3.OpPut(key, mark(text))).Commit()
	if err != nil {
		return status, false, unavailable("write", err)
	}
	if r.Succeeded {
		status.Revision = r.Header.GetRevision()
	}
	return status, r.Succeeded, nil
}

// ClaimsPage is a part of all accounts' claims, as they are at one revision.
type ClaimsPage struct {
	Claims   map[string]string // by the account's public key
	Revision int64
	Next     string // where the next part begins; "" when this is the last
}

// ClaimsFrom reads at most limit accounts' claims from one key on, at a revision;
// 0 is the present one. It is for the control plane's own use.
func (s *Store) ClaimsFrom(ctx context.Context, from string, revision int64, limit int) (ClaimsPage, error) {
	r, err := s.kv.Get(ctx, ClaimsPrefix+from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(ClaimsPrefix)),
		clientv3.WithLimit(int64(limit)), clientv3.WithRev(revision))
	if err != nil {
		return ClaimsPage{}, unavailable("list", err)
	}
	if revision == 0 {
		revision = r.Header.GetRevision()
	}
	page := ClaimsPage{Claims: make(map[string]string, len(r.Kvs)), Revision: revision}
	for _, kv := range r.Kvs {
		page.Claims[strings.TrimPrefix(string(kv.Key), ClaimsPrefix)] = string(kv.Value)
	}
	if r.More && len(r.Kvs) > 0 {
		page.Next = strings.TrimPrefix(string(r.Kvs[len(r.Kvs)-1].Key), ClaimsPrefix) + "\x00"
	}
	return page, nil
}
