package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/accounts"
)

// OperationsKept is how long operations are listed.
const OperationsKept = 30 * 24 * time.Hour

// Operation reads one operation.
func (v *View) Operation(ctx context.Context, id string) (Operation, error) {
	var o Operation
	return o, v.load(ctx, v.operationKey(id), &o)
}

// Operations lists operations, newest first.
func (v *View) Operations(ctx context.Context, p Page) ([]Operation, string, error) {
	return loadPage[Operation](ctx, v, v.operationPrefix(), p)
}

// BeginOperation records that this change travels to the brokers. Its revision
// is the one that the change gets.
func (t *Tx) BeginOperation(method, target string) (Operation, error) {
	o := Operation{ID: accounts.NewUID(accounts.PrefixOperation, time.Now()), Method: method, Target: target, CreateTime: t.Now}
	t.operation = o.ID
	return o, t.put(t.operationKey(o.ID), o)
}

// BeginSpreading is BeginOperation for a change whose claims follow in further
// transactions.
func (t *Tx) BeginSpreading(method, target string) (Operation, error) {
	o := Operation{ID: accounts.NewUID(accounts.PrefixOperation, time.Now()), Method: method, Target: target, CreateTime: t.Now, Spreading: true}
	t.operation = o.ID
	return o, t.put(t.operationKey(o.ID), o)
}

// EndSpreading gives such an operation the revision of this change, which
// writes the last claims of it. One that is forgotten stays so.
func (t *Tx) EndSpreading(ctx context.Context, id string) error {
	o, err := t.Operation(ctx, id)
	if err != nil {
		return ignoreNotFound(err)
	}
	o.Spreading = false
	return t.put(t.operationKey(id), o)
}

// ForgetOperations removes an organization's operations that are older than
// OperationsKept. Doing it twice, or from two processes, does no harm.
func (s *Store) ForgetOperations(ctx context.Context, organization string, now time.Time) error {
	v := s.newView(organization)
	oldest := v.operationKey(accounts.NewUID(accounts.PrefixOperation, now.Add(-OperationsKept)))
	end := clientv3.GetPrefixRangeEnd(v.operationPrefix())
	if _, err := s.kv.Delete(ctx, oldest, clientv3.WithRange(end)); err != nil {
		return unavailable("forget operations", err)
	}
	return nil
}

// Installation reads what makes this control plane itself.
func (s *Store) Installation(ctx context.Context) (Installation, error) {
	return s.newView("").Installation(ctx)
}

// Installation reads what makes this control plane itself.
func (v *View) Installation(ctx context.Context) (Installation, error) {
	var i Installation
	return i, v.load(ctx, installationKey, &i)
}

// PutInstallation replaces an installation that was read.
func (t *Tx) PutInstallation(i Installation) error { return t.put(installationKey, i) }

// CreateInstallation puts what makes this control plane itself, with the
// operator's JWT, the claims of the system account and the plan that
// organizations begin on.
func (t *Tx) CreateInstallation(ctx context.Context, i Installation, operatorJWT, systemJWT string) error {
	if t.org != "" {
		return fmt.Errorf("an installation does not belong to organization %q", t.org)
	}
	if err := t.create(ctx, installationKey, i); err != nil {
		return err
	}
	if err := t.CreatePlan(ctx, newDefaultPlan(t.Now)); err != nil {
		return err
	}
	t.putText(OperatorKey, operatorJWT)
	t.putText(claimsKey(i.SystemAccount), systemJWT)
	return t.put(accountIndexKey(i.SystemAccount), AccountRef{Account: "system", UID: i.ID, PublicKey: i.SystemAccount})
}
