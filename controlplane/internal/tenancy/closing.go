package tenancy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// ClosingDefault is how long a closed organization can be undeleted unless its
// closing says otherwise.
const ClosingDefault = 30 * 24 * time.Hour

// CloseOrganization takes all connections from all accounts of an organization,
// which ends after the retention unless it is undeleted before.
func (s *Service) CloseOrganization(ctx context.Context, tx *store.Tx, method, etag string, retention time.Duration) (store.Organization, store.Operation, error) {
	return s.changeStanding(ctx, tx, method, etag, func(o *store.Organization) error {
		if o.Closing() {
			return errClosing(*o)
		}
		if err := unprotected(ctx, tx); err != nil {
			return err
		}
		o.CloseTime, o.PurgeTime = tx.Now, tx.Now.Add(retention)
		return tx.MarkClosing(*o)
	})
}

// unprotected refuses to end accounts that are protected from that.
func unprotected(ctx context.Context, tx *store.Tx) error {
	all, err := tx.AllAccounts(ctx)
	if err != nil {
		return err
	}
	var protected []string
	for _, a := range all {
		if a.DeleteProtection && !a.Deleted() {
			protected = append(protected, a.ID)
		}
	}
	if len(protected) == 0 {
		return nil
	}
	first, more := protected[:min(5, len(protected))], ""
	if n := len(protected) - len(first); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return errs.New(errs.Precondition, "DELETE_PROTECTED", "accounts are protected from deletion: %s%s", strings.Join(first, ", "), more).
		WithNext("set delete_protection of each to false first")
}

// UndeleteOrganization brings an organization that is closing back as it was.
func (s *Service) UndeleteOrganization(ctx context.Context, tx *store.Tx, method, etag string) (store.Organization, store.Operation, error) {
	return s.changeStanding(ctx, tx, method, etag, func(o *store.Organization) error {
		switch {
		case !o.Closing():
			return errs.New(errs.Precondition, "ORGANIZATION_NOT_CLOSING", "the organization %q is not closing", o.ID)
		case !tx.Now.Before(o.PurgeTime):
			return errs.New(errs.Precondition, "ORGANIZATION_PURGING", "the end of the organization %q has begun", o.ID)
		}
		var err error
		*o, err = tx.UnmarkClosing(*o)
		return err
	})
}

func errClosing(o store.Organization) error {
	return errs.New(errs.Precondition, "ORGANIZATION_CLOSING", "the organization %q is closed and ends at %s", o.ID, o.PurgeTime.Format(time.RFC3339)).
		WithNext("reading is possible; until then an owner can undelete it")
}

// errEnded is the refusal of an organization that has ended.
func errEnded(o store.Organization) error {
	return errs.New(errs.Precondition, "ORGANIZATION_DELETED", "the organization %q has ended", o.ID).
		WithNext("its name is not given again; sign up with another one")
}

// endBatch bounds how many people and service accounts one change ends: each of
// them has a few keys.
const endBatch = 8

// EndDue ends an organization whose purge time has come: its accounts, then people
// and keys, then itself. Each step is a change of its own, and whoever comes next
// goes on where somebody was cut off.
func (s *Service) EndDue(ctx context.Context, st *store.Store, organization string) error {
	change := store.Change{
		Scope: store.Everything(), Organization: organization, Actor: "system", Method: "EndOrganization",
		Target: OrganizationName(organization), Reason: "its purge time has come",
	}
	v, err := st.View(change.Scope, organization)
	if err != nil {
		return err
	}
	o, err := v.Org(ctx)
	if err != nil || !o.Closing() || time.Now().Before(o.PurgeTime) {
		return ignoreGone(err)
	}
	all, err := v.AllAccounts(ctx)
	if err != nil {
		return err
	}
	for _, a := range all {
		if err := s.endAccount(ctx, st, change, a.ID); err != nil {
			return fmt.Errorf("account %s: %w", a.ID, err)
		}
	}
	for more := true; more; {
		more, _, err = store.Update(ctx, st, change, func(ctx context.Context, tx *store.Tx) (bool, store.Outcome, error) {
			more, err := endSome(ctx, tx)
			return more, store.Outcome{}, err
		})
		if err != nil {
			return ignoreGone(err)
		}
	}
	return nil
}

// endAccount ends one account of an organization that ends.
func (s *Service) endAccount(ctx context.Context, st *store.Store, change store.Change, id string) error {
	change.Method, change.Target = "DeleteAccount", AccountName(change.Organization, id)
	_, _, err := store.Update(ctx, st, change, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		if err := stillDue(ctx, tx); err != nil {
			return struct{}{}, store.Outcome{}, err
		}
		a, err := tx.Account(ctx, id)
		if err != nil {
			return struct{}{}, store.Outcome{}, err
		}
		if !a.Deleted() {
			a.DeleteTime, a.PurgeTime, a.UpdateTime = tx.Now, tx.Now, tx.Now
		}
		return struct{}{}, store.Outcome{}, tx.MarkPurging(a)
	})
	if err != nil {
		return ignoreGone(err)
	}
	return s.PurgeDue(ctx, st, store.DueAccount{Organization: change.Organization, Account: id})
}

// stillDue refuses to end what was undeleted meanwhile.
func stillDue(ctx context.Context, tx *store.Tx) error {
	o, err := tx.Org(ctx)
	if err == nil && (!o.Closing() || tx.Now.Before(o.PurgeTime)) {
		err = store.ErrNotFound
	}
	return err
}

// endSome ends some of those who act for an organization without accounts, and when
// there are none left the organization itself. It reports whether there is more.
func endSome(ctx context.Context, tx *store.Tx) (more bool, err error) {
	if err := stillDue(ctx, tx); err != nil {
		return false, err
	}
	left := endBatch
	for _, end := range []func(context.Context, *store.Tx, int) (int, error){endServiceAccounts, endMembers, endInvitations, endPolicies} {
		n, err := end(ctx, tx, left)
		if left -= n; err != nil || left == 0 {
			return true, err
		}
	}
	if left < endBatch {
		return true, nil
	}
	all, err := tx.AllAccounts(ctx)
	if err != nil || len(all) > 0 {
		return false, err // one was made meanwhile, or would not end: at the next turn
	}
	o, err := tx.Org(ctx)
	if err != nil {
		return false, err
	}
	o.DisplayName, o.ContactEmail, o.SuspendReason, o.UpdateTime = o.ID, "", "", tx.Now
	return false, tx.EndOrg(o)
}

func endServiceAccounts(ctx context.Context, tx *store.Tx, most int) (int, error) {
	all, err := tx.AllServiceAccounts(ctx)
	all = all[:min(most, len(all))]
	for _, a := range all {
		keys, err := tx.Keys(ctx, store.Holder{ServiceAccount: a.ID})
		if err != nil {
			return 0, err
		}
		tx.DeleteServiceAccount(a, keys)
	}
	return len(all), err
}

func endMembers(ctx context.Context, tx *store.Tx, most int) (int, error) {
	all, err := tx.AllMembers(ctx)
	all = all[:min(most, len(all))]
	for _, m := range all {
		keys, err := tx.Keys(ctx, store.Holder{Member: m.ID})
		if err != nil {
			return 0, err
		}
		tx.DeleteMember(m, keys)
	}
	return len(all), err
}

func endInvitations(ctx context.Context, tx *store.Tx, most int) (int, error) {
	all, err := tx.AllInvitations(ctx)
	all = all[:min(most, len(all))]
	for _, i := range all {
		tx.ForgetInvitation(i.ID)
	}
	return len(all), err
}

func endPolicies(ctx context.Context, tx *store.Tx, most int) (int, error) {
	all, err := tx.AllAlertPolicies(ctx)
	all = all[:min(most, len(all))]
	for _, p := range all {
		if err := tx.DeleteAlertPolicy(p.ID); err != nil {
			return 0, err
		}
	}
	return len(all), err
}
