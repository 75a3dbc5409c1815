package tenancy

import (
	"context"
	"errors"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// AccountFields are the writable fields of an account.
type AccountFields struct {
	DisplayName      string
	Limits           accounts.Limits
	CredentialTTL    time.Duration
	DeleteProtection bool
	AuthCallout      *accounts.Callout
}

func (f AccountFields) validate() error {
	if err := accounts.ValidateDisplayName("account.display_name", f.DisplayName); err != nil {
		return err
	}
	if err := f.Limits.Validate(); err != nil {
		return err
	}
	if f.AuthCallout != nil {
		if err := f.AuthCallout.Validate("account.auth_callout"); err != nil {
			return err
		}
	}
	return accounts.ValidateTTL("account.default_credential_ttl_seconds", f.CredentialTTL)
}

// AccountName returns the resource name of an account.
func AccountName(organization, id string) string {
	return "organizations/" + organization + "/accounts/" + id
}

// AccountChange is an account as a change leaves it. Operation is nil when the
// brokers have nothing to do.
type AccountChange struct {
	Account   store.Account
	Operation *store.Operation
}

// CreateAccount makes an account with its keys and its default role.
func (s *Service) CreateAccount(ctx context.Context, tx *store.Tx, method, id string, f AccountFields) (AccountChange, error) {
	if _, err := tx.Org(ctx); err != nil {
		return AccountChange{}, err
	}
	a, _, operation, err := s.createAccount(ctx, tx, method, id, f)
	return AccountChange{Account: a, Operation: &operation}, err
}

// createAccount is CreateAccount in an organization that is there or about to
// be.
func (s *Service) createAccount(ctx context.Context, tx *store.Tx, method, id string, f AccountFields) (store.Account, store.Role, store.Operation, error) {
	var none store.Operation
	if err := errors.Join(accounts.ValidateAccountID(id), f.validate()); err != nil {
		return store.Account{}, store.Role{}, none, err
	}
	a, role, err := s.newAccount(ctx, id, tx.Now)
	if err != nil {
		return store.Account{}, store.Role{}, none, err
	}
	if err := checkCallout(ctx, tx, a, f.AuthCallout); err != nil {
		return store.Account{}, store.Role{}, none, err // it has no users yet who could answer
	}
	f.apply(&a)
	if err := allot(ctx, tx, nil, &a); err != nil {
		return store.Account{}, store.Role{}, none, err
	}
	err = tx.CreateAccount(ctx, a)
	if errors.Is(err, store.ErrExists) {
		err = taken("ACCOUNT_EXISTS", "account_id", AccountName(tx.Organization(), id))
	}
	if err != nil {
		return store.Account{}, store.Role{}, none, err
	}
	if err := tx.PutRole(a.ID, role); err != nil {
		return store.Account{}, store.Role{}, none, err
	}
	operation, err := s.publish(ctx, tx, method, AccountName(tx.Organization(), id), a, []store.Role{role}, store.Revocations{})
	return a, role, operation, err
}

func (s *Service) newAccount(ctx context.Context, id string, now time.Time) (store.Account, store.Role, error) {
	identity, err := newKey(ctx, s.custody, "", useIdentity)
	if err != nil {
		return store.Account{}, store.Role{}, err
	}
	direct, err := newKey(ctx, s.custody, identity.public, useDirect)
	if err != nil {
		return store.Account{}, store.Role{}, err
	}
	role := store.Role{Name: accounts.DefaultRole, CreateTime: now, UpdateTime: now}
	if err := s.addKey(ctx, &role, identity.public, store.KeyActive, now); err != nil {
		return store.Account{}, store.Role{}, err
	}
	return store.Account{
		ID: id, UID: accounts.NewUID(accounts.PrefixAccount, now), CreateTime: now, UpdateTime: now,
		PublicKey: identity.public, SealedSeed: identity.sealed,
		DirectKey: direct.public, SealedDirect: direct.sealed,
	}, role, nil
}

func (f AccountFields) apply(a *store.Account) {
	a.DisplayName, a.Limits, a.DeleteProtection = f.DisplayName, f.Limits, f.DeleteProtection
	a.AuthCallout = f.AuthCallout
	a.CredentialTTLSeconds = int64(f.CredentialTTL / time.Second)
}

// FieldsOf returns the writable fields of an account.
func FieldsOf(a store.Account) AccountFields {
	return AccountFields{
		DisplayName: a.DisplayName, Limits: a.Limits, DeleteProtection: a.DeleteProtection,
		CredentialTTL: time.Duration(a.CredentialTTLSeconds) * time.Second, AuthCallout: a.AuthCallout,
	}
}

// UpdateAccount changes writable fields. Brokers hear of it when limits
// change.
func (s *Service) UpdateAccount(ctx context.Context, tx *store.Tx, method, id, etag string, change func(*AccountFields) error) (AccountChange, error) {
	a, err := liveAccount(ctx, tx, id)
	if err != nil {
		return AccountChange{}, err
	}
	if err := checkEtag(etag, a.Revision); err != nil {
		return AccountChange{}, err
	}
	fields := FieldsOf(a)
	if err := change(&fields); err != nil {
		return AccountChange{}, err
	}
	calloutChange := !fields.AuthCallout.Equal(a.AuthCallout)
	checked := fields
	if !calloutChange {
		checked.AuthCallout = nil // what was taken over may be what is not taken from callers
	}
	if err := checked.validate(); err != nil {
		return AccountChange{}, err
	}
	if calloutChange {
		if err := checkCallout(ctx, tx, a, fields.AuthCallout); err != nil {
			return AccountChange{}, err
		}
	}
	claimsChange := calloutChange || !fields.Limits.Equal(a.Limits)
	before := a
	fields.apply(&a)
	a.UpdateTime = tx.Now
	if err := allot(ctx, tx, &before, &a); err != nil {
		return AccountChange{}, err
	}
	if err := tx.PutAccount(a); err != nil || !claimsChange {
		return AccountChange{Account: a}, err
	}
	operation, err := s.republish(ctx, tx, method, AccountName(tx.Organization(), id), a)
	return AccountChange{Account: a, Operation: &operation}, err
}

// SetSuspended suspends or resumes an account. Doing it again does no harm.
func (s *Service) SetSuspended(ctx context.Context, tx *store.Tx, method, id, etag string, suspended bool) (AccountChange, error) {
	a, err := liveAccount(ctx, tx, id)
	if err != nil {
		return AccountChange{}, err
	}
	if err := checkEtag(etag, a.Revision); err != nil {
		return AccountChange{}, err
	}
	a.Suspended, a.UpdateTime = suspended, tx.Now
	if err := tx.PutAccount(a); err != nil {
		return AccountChange{}, err
	}
	operation, err := s.republish(ctx, tx, method, AccountName(tx.Organization(), id), a)
	return AccountChange{Account: a, Operation: &operation}, err
}

func taken(reason, field, name string) error {
	return errs.New(errs.Exists, reason, "%s already exists", name).WithField(field)
}
