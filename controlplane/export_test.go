package controlplane

import (
	"context"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/controlplane/internal/audit"
	"github.com/coveymq/covey/controlplane/internal/auditlog"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

// Compact forgets the store's history up to a revision.
func Compact(ctx context.Context, s *Server, revision int64) error {
	_, err := s.etcd.client.Compact(ctx, revision, clientv3.WithCompactPhysical())
	return err
}

// StoreSize says how large etcd's database is, and how much of it is in use.
func StoreSize(s *Server) (file, used int64) { return s.etcd.own.Size() }

// Tidy forgets all of the store's history and gives back the room.
func Tidy(ctx context.Context, s *Server) error {
	r, err := s.etcd.client.Get(ctx, "/")
	if err != nil {
		return err
	}
	if err := Compact(ctx, s, r.Header.GetRevision()); err != nil {
		return err
	}
	return s.etcd.own.Defragment()
}

// SystemAccount is the public key of the system account.
func SystemAccount(s *Server) string { return s.root.Installation.SystemAccount }

// OperatorJWT is what servers are configured with that trust the operator.
func OperatorJWT(ctx context.Context, s *Server) (string, error) {
	r, err := s.etcd.client.Get(ctx, store.OperatorKey)
	if err != nil || len(r.Kvs) == 0 {
		return "", err
	}
	return string(r.Kvs[0].Value), nil
}

// StockUser is who connects to stock clusters.
func StockUser(ctx context.Context, s *Server) (tenancy.StockUser, error) {
	return tenancy.OpenStockUser(ctx, s.store, s.custody, store.StockCluster{})
}

// Signer signs accounts.
func Signer(s *Server) accounts.Signer { return s.root.Signer }

// AuditReasons returns the reasons of an organization's changes of one kind,
// oldest first, wherever its audit log is by now.
func AuditReasons(ctx context.Context, s *Server, organization, method string) (reasons []string, err error) {
	v, err := s.store.View(store.Everything(), organization)
	if err != nil {
		return nil, err
	}
	entries, err := s.audit.Entries(ctx, v, 0, 1000)
	for _, e := range entries {
		if e.Method == method {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons, err
}

// SuspendOnly suspends an organization and leaves it to whoever leads to bring
// that to its accounts. It returns the operation's id.
func SuspendOnly(ctx context.Context, s *Server, organization string) (string, error) {
	c := store.Change{Scope: store.Everything(), Organization: organization, Actor: "key_test", Method: "SuspendOrganization", Target: organization}
	op, _, err := store.Update(ctx, s.store, c, func(ctx context.Context, tx *store.Tx) (store.Operation, store.Outcome, error) {
		_, op, err := s.tenancy.SuspendOrganization(ctx, tx, c.Method, "", "test")
		return op, store.Outcome{}, err
	})
	return op.ID, err
}

// CloseForGood closes an organization without a retention, and ends it.
func CloseForGood(ctx context.Context, s *Server, organization string) error {
	c := store.Change{Scope: store.Everything(), Organization: organization, Actor: "key_test", Method: "CloseOrganization", Target: organization}
	_, _, err := store.Update(ctx, s.store, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		_, _, err := s.tenancy.CloseOrganization(ctx, tx, c.Method, "", 0)
		return struct{}{}, store.Outcome{}, err
	})
	if err != nil {
		return err
	}
	return s.endDue(ctx)
}

// WriteNotices writes the notices of credentials that are due at a time.
func WriteNotices(ctx context.Context, s *Server, now time.Time) error { return s.noticesAt(ctx, now) }

// Notices reads what the audit log of an organization says of credentials that
// expire.
func Notices(ctx context.Context, s *Server, organization string) ([]audit.Entry, error) {
	v, err := s.store.View(store.Everything(), organization)
	if err != nil {
		return nil, err
	}
	all, err := s.audit.Entries(ctx, v, 0, 1000)
	return slices.DeleteFunc(all, func(e audit.Entry) bool { return e.Method != tenancy.ExpiringMethod }), err
}

// VerifyAudit checks every audit log.
func (s *Server) VerifyAudit(ctx context.Context, each func(auditlog.Verdict) error) error {
	return s.audit.VerifyAll(ctx, each)
}

// LookForAlerts looks at everything once.
func LookForAlerts(ctx context.Context, s *Server) error { return s.alerts.Turn(ctx, time.Now()) }

// RecordUsage books bytes that an account got in this hour.
func RecordUsage(ctx context.Context, s *Server, account string, bytes int64) error {
	_, err := s.ledger.Record(ctx, []billing.Sample{{
		Incarnation: "test", Account: account, Class: billing.ClassStandard, Meter: billing.DeliveredBytes, Window: billing.WindowOf(time.Now()), Value: bytes,
	}})
	return err
}
