package tenancy

import (
	"context"
	"errors"
	"slices"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// FirstServiceAccount is the owner that an organization begins with.
const FirstServiceAccount = "owner"

const bindingsMax = 50 // of one service account

// Caller is who makes a change, as far as the rules of service accounts and
// members ask.
type Caller struct {
	Key    string
	Holder store.Holder // nobody for an operator
	Owner  bool         // may give away everything in the organization
}

// ServiceAccountFields are the writable fields of a service account.
type ServiceAccountFields struct {
	DisplayName string
	Bindings    []store.RoleBinding
	Disabled    bool
}

// ServiceAccountName returns the resource name of a service account.
func ServiceAccountName(organization, id string) string {
	return OrganizationName(organization) + "/serviceAccounts/" + id
}

// CreateServiceAccount makes a service account. It has no keys yet.
func (s *Service) CreateServiceAccount(ctx context.Context, tx *store.Tx, by Caller, id string, f ServiceAccountFields) (store.ServiceAccount, error) {
	if err := accounts.ValidateServiceAccountID(id); err != nil {
		return store.ServiceAccount{}, err
	}
	if _, err := tx.Org(ctx); err != nil {
		return store.ServiceAccount{}, err
	}
	if err := f.validate(ctx, tx); err != nil {
		return store.ServiceAccount{}, err
	}
	if err := by.mayGrant(f.Bindings); err != nil {
		return store.ServiceAccount{}, err
	}
	return newServiceAccount(ctx, tx, id, f)
}

func newServiceAccount(ctx context.Context, tx *store.Tx, id string, f ServiceAccountFields) (store.ServiceAccount, error) {
	a := store.ServiceAccount{ID: id, UID: accounts.NewUID(accounts.PrefixService, tx.Now), CreateTime: tx.Now}
	f.apply(&a, tx)
	err := tx.CreateServiceAccount(ctx, a)
	if errors.Is(err, store.ErrExists) {
		err = taken("SERVICE_ACCOUNT_EXISTS", "service_account_id", ServiceAccountName(tx.Organization(), id))
	}
	return a, err
}

func (f ServiceAccountFields) apply(a *store.ServiceAccount, tx *store.Tx) {
	a.DisplayName, a.Bindings, a.Disabled, a.UpdateTime = f.DisplayName, f.Bindings, f.Disabled, tx.Now
}

func (f ServiceAccountFields) validate(ctx context.Context, tx *store.Tx) error {
	if err := accounts.ValidateDisplayName("service_account.display_name", f.DisplayName); err != nil {
		return err
	}
	return validateBindings(ctx, tx, "service_account.role_bindings", f.Bindings)
}

// validateBindings checks role bindings of the request's field.
func validateBindings(ctx context.Context, tx *store.Tx, field string, bindings []store.RoleBinding) error {
	if len(bindings) > bindingsMax {
		return errs.New(errs.Invalid, "INVALID_ROLE_BINDING", "more than %d role bindings", bindingsMax).WithField(field)
	}
	for i, b := range bindings {
		switch {
		case b.Role == authz.Owner && b.Account != "":
			return errs.New(errs.Invalid, "INVALID_ROLE_BINDING", "an owner is one of the whole organization").WithField(field).
				WithNext("use the role admin for one account")
		case slices.Contains(bindings[:i], b):
			return errs.New(errs.Invalid, "INVALID_ROLE_BINDING", "the role %q is there twice", b.Role).WithField(field)
		case b.Account == "":
			continue
		}
		_, err := tx.Account(ctx, b.Account)
		if errors.Is(err, store.ErrNotFound) {
			err = errs.New(errs.Precondition, "ACCOUNT_NOT_FOUND", "there is no account %q", b.Account).WithField(field)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// UpdateServiceAccount changes writable fields.
func (s *Service) UpdateServiceAccount(ctx context.Context, tx *store.Tx, by Caller, id, etag string, change func(*ServiceAccountFields) error) (store.ServiceAccount, error) {
	a, err := tx.ServiceAccount(ctx, id)
	if err != nil {
		return store.ServiceAccount{}, err
	}
	if err := checkEtag(etag, a.Revision); err != nil {
		return store.ServiceAccount{}, err
	}
	f := ServiceAccountFields{DisplayName: a.DisplayName, Bindings: a.Bindings, Disabled: a.Disabled}
	if err := change(&f); err != nil {
		return store.ServiceAccount{}, err
	}
	if err := f.validate(ctx, tx); err != nil {
		return store.ServiceAccount{}, err
	}
	if err := errors.Join(by.mayGrant(a.Bindings), by.mayGrant(f.Bindings)); err != nil {
		return store.ServiceAccount{}, errOwnerOnly
	}
	self := store.Holder{ServiceAccount: id}
	if by.Holder == self && (f.Disabled || !slices.Equal(f.Bindings, a.Bindings)) {
		return store.ServiceAccount{}, errOwnServiceAccount
	}
	if owns(a.Bindings) && !a.Disabled && (!owns(f.Bindings) || f.Disabled) {
		if err := keepOwner(ctx, tx, self); err != nil {
			return store.ServiceAccount{}, err
		}
	}
	f.apply(&a, tx)
	return a, tx.PutServiceAccount(a)
}

// DeleteServiceAccount ends a service account and its keys.
func (s *Service) DeleteServiceAccount(ctx context.Context, tx *store.Tx, by Caller, id, etag string) error {
	a, err := tx.ServiceAccount(ctx, id)
	if err != nil {
		return err
	}
	if err := checkEtag(etag, a.Revision); err != nil {
		return err
	}
	if err := by.mayGrant(a.Bindings); err != nil {
		return err
	}
	self := store.Holder{ServiceAccount: id}
	if by.Holder == self {
		return errOwnServiceAccount
	}
	if owns(a.Bindings) && !a.Disabled {
		if err := keepOwner(ctx, tx, self); err != nil {
			return err
		}
	}
	keys, err := tx.Keys(ctx, self)
	if err != nil {
		return err
	}
	tx.DeleteServiceAccount(a, keys)
	return nil
}

var (
	errOwnerOnly = errs.New(errs.Denied, "OWNER_ONLY", "only an owner may make, change or end an owner").
			WithNext("ask an owner of the organization")
	errOwnServiceAccount = errs.New(errs.Precondition, "OWN_SERVICE_ACCOUNT", "a service account cannot end or disable itself or change its own roles").
				WithNext("use a key of another owner")
)

// mayGrant refuses to deal with owners unless the caller is one.
func (by Caller) mayGrant(bindings []store.RoleBinding) error {
	for _, b := range bindings {
		if b.Role == authz.Owner && !by.Owner {
			return errOwnerOnly
		}
	}
	return nil
}

// mayTouch refuses to deal with the keys of an owner unless the caller is one.
func (by Caller) mayTouch(ctx context.Context, tx *store.Tx, h store.Holder) error {
	bearer, err := tx.Bearer(ctx, h)
	if err != nil {
		return err
	}
	return by.mayGrant(bearer.Bindings)
}
