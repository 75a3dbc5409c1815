package tenancy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// ExpiringMethod is what the audit log says of a credential that expires soon.
const ExpiringMethod = "CredentialExpiring"

// errNoNotice ends a change that turns out to be none.
var errNoNotice = errors.New("the credential is not in use any more")

// NoticeDue returns the notice that a credential's record calls for at now and
// did not call for at last; 0 if there is none.
func NoticeDue(c store.Credential, last, now time.Time) (days int) {
	if c.Superseded || !c.RevokeTime.IsZero() {
		return 0
	}
	days = accounts.ExpiryNotice(c.IssueTime, c.ExpireTime, now)
	if days == accounts.ExpiryNotice(c.IssueTime, c.ExpireTime, last) {
		return 0
	}
	return days
}

// NoteExpiring writes into the audit log that a credential expires soon, if it is
// still good. The same notice twice within a day is one.
func (s *Service) NoteExpiring(ctx context.Context, st *store.Store, organization string, c store.Credential, days int, now time.Time) error {
	change := store.Change{
		Scope: store.Everything(), Organization: organization, Actor: "system", Method: ExpiringMethod,
		Target:    CredentialName(organization, c),
		Reason:    fmt.Sprintf("it expires at %s, in less than %d days: renew it", c.ExpireTime.UTC().Format(time.RFC3339), days),
		RequestID: fmt.Sprintf("expiring-%s-%d", c.ID, days),
	}
	_, _, err := store.Update(ctx, st, change, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		life, err := s.lifeNow(ctx, tx.View, c, now)
		if err == nil && life != Active {
			err = errNoNotice
		}
		return struct{}{}, store.Outcome{}, err
	})
	if errors.Is(err, errNoNotice) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// lifeNow is where a credential is in its life, as far as its account and its
// user let it live.
func (s *Service) lifeNow(ctx context.Context, v *store.View, c store.Credential, now time.Time) (CredentialLife, error) {
	c, err := v.Credential(ctx, c.Account, c.User, c.ID)
	if err != nil {
		return 0, err
	}
	a, err := v.Account(ctx, c.Account)
	if err != nil {
		return 0, err
	}
	if a.Deleted() {
		return 0, store.ErrNotFound
	}
	r, err := v.Revocations(ctx, c.Account)
	if err != nil {
		return 0, err
	}
	issuers, err := s.IssuersOf(ctx, v, c.Account)
	if err != nil {
		return 0, err
	}
	return issuers.LifeOf(c, r.All(), now), nil
}
