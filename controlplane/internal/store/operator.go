package store

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const resigningKey = root + "sys/resigning"

// OperatorSigningKey is one signing key of the operator. Only the one that is staged
// has its seed here: the active one's is in the Installation, and the others
// sign nothing any more.
type OperatorSigningKey struct {
	PublicKey    string    `json:"public_key"`
	State        KeyState  `json:"state"`
	SealedSeed   []byte    `json:"sealed_seed,omitempty"`
	CreateTime   time.Time `json:"create_time"`
	AnnounceTime time.Time `json:"announce_time,omitzero"` // of a staged one: since when the operator's JWT lists it
	PromoteTime  time.Time `json:"promote_time,omitzero"`
	RetireTime   time.Time `json:"retire_time,omitzero"`
}

// Resigning is how far the accounts are that are signed again, because another
// key of the operator signs now.
type Resigning struct {
	Stored

	Key        string    `json:"key"`             // that signs them
	After      string    `json:"after,omitempty"` // the account that was looked at last
	Looked     int64     `json:"looked"`          // accounts
	Signed     int64     `json:"signed"`          // of those, signed again
	Total      int64     `json:"total"`           // accounts when it began
	StartTime  time.Time `json:"start_time"`
	FinishTime time.Time `json:"finish_time,omitzero"` // zero while it is under way
}

// Done reports whether every account's claims are signed by the key.
func (r Resigning) Done() bool { return !r.FinishTime.IsZero() }

// Operator reads the operator's JWT.
func (v *View) Operator(ctx context.Context) (string, error) {
	value, revision, err := v.get(ctx, OperatorKey)
	if err == nil && revision == 0 {
		err = ErrNotFound
	}
	return string(value), err
}

// PutOperator replaces the operator's JWT. The claims of the system account go
// with it, at the same revision: they move the watermark that brokers
// acknowledge, and the fleet service reads the operator anew when they change.
func (t *Tx) PutOperator(text, systemAccount, systemClaims string) {
	t.putText(OperatorKey, text)
	t.PutClaims(systemAccount, systemClaims)
}

// Claims reads an account's claims and their revision.
func (v *View) Claims(ctx context.Context, public string) (string, int64, error) {
	value, revision, err := v.get(ctx, claimsKey(public))
	if err == nil && revision == 0 {
		err = ErrNotFound
	}
	return string(value), revision, err
}

// SignedAccount is an account's claims as they are.
type SignedAccount struct {
	PublicKey string
	Claims    string
}

// ClaimsPage reads claims in the order of accounts' keys. A Tx that writes some
// of them conflicts with whoever changes one that was read.
func (v *View) ClaimsPage(ctx context.Context, p Page) ([]SignedAccount, string, error) {
	from := ClaimsPrefix
	if p.After != "" {
		from += p.After + "\x00"
	}
	r, err := v.read(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(ClaimsPrefix)), clientv3.WithLimit(int64(p.Size)))
	if err != nil {
		return nil, "", unavailable("list", err)
	}
	all := make([]SignedAccount, len(r.Kvs))
	for i, kv := range r.Kvs {
		v.keys[string(kv.Key)] = kv.ModRevision
		all[i] = SignedAccount{PublicKey: strings.TrimPrefix(string(kv.Key), ClaimsPrefix), Claims: string(kv.Value)}
	}
	if !r.More || len(all) == 0 {
		return all, "", nil
	}
	return all, all[len(all)-1].PublicKey, nil
}

// CountClaims returns how many accounts have claims.
func (v *View) CountClaims(ctx context.Context) (int64, error) {
	r, err := v.read(ctx, ClaimsPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, unavailable("count", err)
	}
	return r.Count, nil
}

// Resigning reads how far the signing again is; ErrNotFound if there never was
// one.
func (v *View) Resigning(ctx context.Context) (Resigning, error) {
	var r Resigning
	return r, v.load(ctx, resigningKey, &r)
}

// PutResigning writes how far it is.
func (t *Tx) PutResigning(r Resigning) error { return t.put(resigningKey, r) }

// Beside returns a view of the same moment whose reads are no part of the change.
func (t *Tx) Beside() *View {
	v := t.store.newView(t.org)
	v.rev = t.rev
	return v
}

// ExpectInstallation makes the change conflict if the installation is not as it
// was at a revision, without reading it.
func (t *Tx) ExpectInstallation(revision int64) { t.keys[installationKey] = revision }
