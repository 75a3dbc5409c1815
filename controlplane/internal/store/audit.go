package store

import (
	"context"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane/internal/audit"
)

// PendingAudit is an audit entry that is not in the ledger yet, or is there and
// not removed here yet.
type PendingAudit struct {
	Organization string // "" is the installation itself
	Entry        audit.Entry
}

// Audit reads where the organization's audit log ends, and the entries that are
// still here: the newest, in order. The two are of one moment.
func (v *View) Audit(ctx context.Context) (audit.Head, []audit.Entry, error) {
	var head auditHead
	if err := ignoreNotFound(v.load(ctx, v.auditHeadKey(), &head)); err != nil {
		return audit.Head{}, nil, err
	}
	kept, err := loadAll[AuditEntry](ctx, v, strings.TrimSuffix(auditKey(v.org, 0), auditSequence0))
	entries := make([]audit.Entry, len(kept))
	for i, e := range kept {
		entries[i] = e.Entry
	}
	return head.Head, entries, err
}

// auditSequence0 is the last part of the key of an entry 0, which never is.
const auditSequence0 = "00000000000000000000"

// PendingAudits lists at most limit entries that wait for the ledger, each
// organization's in order. It is for the control plane's own use: the answer
// crosses organizations.
func (s *Store) PendingAudits(ctx context.Context, limit int) ([]PendingAudit, error) {
	r, err := s.kv.Get(ctx, auditPrefix, clientv3.WithPrefix(), clientv3.WithLimit(int64(limit)))
	if err != nil {
		return nil, unavailable("list", err)
	}
	pending := make([]PendingAudit, len(r.Kvs))
	for i, kv := range r.Kvs {
		var e AuditEntry
		if err := decode(string(kv.Key), kv.Value, kv.ModRevision, &e); err != nil {
			return nil, err
		}
		chain, _, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), auditPrefix), "/")
		if chain == noChain {
			chain = ""
		}
		pending[i] = PendingAudit{Organization: chain, Entry: e.Entry}
	}
	return pending, nil
}

// DropAudits removes entries that the ledger has. Doing it twice, or from two
// processes, does no harm.
func (s *Store) DropAudits(ctx context.Context, moved []PendingAudit) error {
	for len(moved) > 0 {
		n := min(len(moved), batchMax)
		ops := make([]clientv3.Op, n)
		for i, p := range moved[:n] {
			ops[i] = clientv3.OpDelete(auditKey(p.Organization, p.Entry.Sequence))
		}
		if _, err := s.kv.Txn(ctx).Then(ops...).Commit(); err != nil {
			return unavailable("drop audit entries", err)
		}
		moved = moved[n:]
	}
	return nil
}
