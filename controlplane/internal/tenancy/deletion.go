package tenancy

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// RetentionDefault is how long a deleted account can be undeleted unless its
// deletion says otherwise.
const RetentionDefault = 7 * 24 * time.Hour

// liveAccount reads an account that is there and not deleted.
func liveAccount(ctx context.Context, tx *store.Tx, id string) (store.Account, error) {
	a, err := tx.Account(ctx, id)
	if err != nil {
		return store.Account{}, err
	}
	if a.Deleted() {
		return store.Account{}, errs.New(errs.Precondition, "ACCOUNT_DELETED", "the account %q is deleted", id).
			WithNext("undelete it first; it can be until %s", a.PurgeTime.Format(time.RFC3339))
	}
	return a, nil
}

// DeleteAccount disconnects an account's clients and refuses new ones. It ends
// after the retention unless it is undeleted before.
func (s *Service) DeleteAccount(ctx context.Context, tx *store.Tx, method, id, etag string, retention time.Duration) (AccountChange, error) {
	a, err := liveAccount(ctx, tx, id)
	if err != nil {
		return AccountChange{}, err
	}
	if err := checkEtag(etag, a.Revision); err != nil {
		return AccountChange{}, err
	}
	if a.DeleteProtection {
		return AccountChange{}, errs.New(errs.Precondition, "DELETE_PROTECTED", "the account %q is protected from deletion", id).
			WithNext("set delete_protection to false first")
	}
	a.DeleteTime, a.PurgeTime, a.UpdateTime = tx.Now, tx.Now.Add(retention), tx.Now
	if err := tx.MarkDeleted(a); err != nil {
		return AccountChange{}, err
	}
	operation, err := s.republish(ctx, tx, method, AccountName(tx.Organization(), id), a)
	return AccountChange{Account: a, Operation: &operation}, err
}

// deletedAccount reads an account that is deleted and not purged.
func deletedAccount(ctx context.Context, tx *store.Tx, id, etag string) (store.Account, error) {
	a, err := tx.Account(ctx, id)
	if err != nil {
		return store.Account{}, err
	}
	if err := checkEtag(etag, a.Revision); err != nil {
		return store.Account{}, err
	}
	if !a.Deleted() {
		return store.Account{}, errs.New(errs.Precondition, "ACCOUNT_NOT_DELETED", "the account %q is not deleted", id)
	}
	return a, nil
}

// UndeleteAccount brings a deleted account back as it was.
func (s *Service) UndeleteAccount(ctx context.Context, tx *store.Tx, method, id, etag string) (AccountChange, error) {
	a, err := deletedAccount(ctx, tx, id, etag)
	if err != nil {
		return AccountChange{}, err
	}
	if a.Purging {
		return AccountChange{}, errs.New(errs.Precondition, "ACCOUNT_PURGING", "the end of the account %q has begun", id)
	}
	a.UpdateTime = tx.Now
	if err := tx.UnmarkDeleted(a); err != nil {
		return AccountChange{}, err
	}
	a.DeleteTime, a.PurgeTime = time.Time{}, time.Time{}
	operation, err := s.republish(ctx, tx, method, AccountName(tx.Organization(), id), a)
	return AccountChange{Account: a, Operation: &operation}, err
}

// PurgeAccount ends a deleted account and everything below it.
func (s *Service) PurgeAccount(ctx context.Context, tx *store.Tx, method, id, etag string) (store.Operation, error) {
	a, err := deletedAccount(ctx, tx, id, etag)
	if err != nil {
		return store.Operation{}, err
	}
	if err := unbind(ctx, tx, id); err != nil {
		return store.Operation{}, err
	}
	if err := endSharing(ctx, tx, id); err != nil {
		return store.Operation{}, err
	}
	if err := allot(ctx, tx, &a, nil); err != nil {
		return store.Operation{}, err
	}
	if err := tx.DeleteAccount(a, tx.Now); err != nil {
		return store.Operation{}, err
	}
	return tx.BeginOperation(method, AccountName(tx.Organization(), id))
}

// unbind takes away the roles that service accounts and people have, or are
// offered, on an account, and ends its alert policies: another account may get its
// name.
func unbind(ctx context.Context, tx *store.Tx, account string) error {
	onIt := func(b store.RoleBinding) bool { return b.Account == account }
	if err := unbindPeople(ctx, tx, onIt); err != nil {
		return err
	}
	if err := endAlertPolicies(ctx, tx, account); err != nil {
		return err
	}
	all, err := tx.AllServiceAccounts(ctx)
	if err != nil {
		return err
	}
	for _, sa := range all {
		if !slices.ContainsFunc(sa.Bindings, onIt) {
			continue
		}
		sa.Bindings, sa.UpdateTime = slices.DeleteFunc(sa.Bindings, onIt), tx.Now
		if err := tx.PutServiceAccount(sa); err != nil {
			return err
		}
	}
	return nil
}

// releaseWrites is how many writes one stage of a release makes: what is left
// fits into the transaction that ends the account.
const releaseWrites = 90

// errReleased means that what holds on to an account fits into one transaction.
var errReleased = errors.New("released")

// ReleaseAccount prepares the end of a deleted account on which more people,
// service accounts and shares hold than one transaction can let go of: it lets
// go of them in stages. From the first stage on the account cannot be undeleted,
// and is due, so that the end comes even if this control plane does not live to
// make it. It says whether there were stages; if not, nothing was changed.
func (s *Service) ReleaseAccount(ctx context.Context, st *store.Store, c store.Change, account, etag string) (staged bool, err error) {
	c.RequestID, c.Fingerprint = "", nil // each stage is a request of its own
	for {
		_, _, err := store.Update(ctx, st, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
			return struct{}{}, store.Outcome{}, release(ctx, tx, account, etag)
		})
		switch {
		case errors.Is(err, errReleased):
			return staged, nil
		case err != nil:
			return staged, err
		}
		staged, etag = true, "" // the stage itself changed the account
	}
}

// release is one stage.
func release(ctx context.Context, tx *store.Tx, account, etag string) error {
	a, err := deletedAccount(ctx, tx, account, etag)
	if err != nil {
		return err
	}
	if err := tx.MarkPurging(a); err != nil {
		return err
	}
	tx.Limit(releaseWrites)
	if err = unbind(ctx, tx, account); err == nil {
		err = endSharing(ctx, tx, account)
	}
	if err == nil && tx.Writes() < releaseWrites {
		return errReleased
	}
	if errors.Is(err, store.ErrFull) {
		return nil
	}
	return err
}

// PurgeDue purges an account whose purge time has come. One that was undeleted
// or purged meanwhile is left alone.
func (s *Service) PurgeDue(ctx context.Context, st *store.Store, due store.DueAccount) error {
	change := store.Change{
		Scope: store.Everything(), Organization: due.Organization, Actor: "system", Method: "PurgeAccount",
		Target: AccountName(due.Organization, due.Account), Reason: "its purge time has come",
	}
	v, err := st.View(change.Scope, due.Organization)
	if err != nil {
		return err
	}
	a, err := v.Account(ctx, due.Account)
	if err != nil || !a.Deleted() || time.Now().Before(a.PurgeTime) {
		return ignoreGone(err)
	}
	if _, err := s.ReleaseAccount(ctx, st, change, due.Account, Etag(a.Revision)); err != nil {
		return ignoreGone(err)
	}
	_, _, err = store.Update(ctx, st, change, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		a, err := deletedAccount(ctx, tx, due.Account, "")
		if err == nil && tx.Now.Before(a.PurgeTime) {
			err = store.ErrNotFound
		}
		if err == nil {
			_, err = s.PurgeAccount(ctx, tx, change.Method, due.Account, "")
		}
		return struct{}{}, store.Outcome{}, err
	})
	return ignoreGone(err)
}

// ignoreGone takes it as done that somebody else was faster.
func ignoreGone(err error) error {
	if code := errs.CodeOf(err); code == errs.NotFound || code == errs.Precondition || code == errs.Conflict {
		return nil
	}
	return err
}
