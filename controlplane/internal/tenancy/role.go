package tenancy

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const rolesMax = 50 // of one account; every broker that holds the account holds them all

// RoleFields are the writable fields of a role.
type RoleFields struct {
	DisplayName string
	Permissions accounts.Permissions
	MaxTTL      time.Duration // of credentials; zero is no bound
	Limits      accounts.Limits
}

// RoleName returns the resource name of a role.
func RoleName(organization, account, name string) string {
	return AccountName(organization, account) + "/roles/" + name
}

// RoleChange is a role as a change leaves it. Operation is nil when the brokers
// have nothing to do. Dependents are the credentials that the change ends.
type RoleChange struct {
	Role       store.Role
	Operation  *store.Operation
	Dependents []store.Credential
}

func (f RoleFields) validate() error {
	if err := accounts.ValidateDisplayName("role.display_name", f.DisplayName); err != nil {
		return err
	}
	if err := accounts.ValidateTTL("role.max_credential_ttl_seconds", f.MaxTTL); err != nil {
		return err
	}
	if err := f.Limits.ForUsers(); err != nil {
		return err
	}
	return f.Permissions.Validate("role.permissions")
}

func (f RoleFields) apply(r *store.Role, now time.Time) {
	r.DisplayName, r.Permissions, r.MaxTTLSeconds, r.UpdateTime = f.DisplayName, f.Permissions, int64(f.MaxTTL/time.Second), now
	r.Limits = f.Limits
}

// CreateRole makes a role with its first key.
func (s *Service) CreateRole(ctx context.Context, tx *store.Tx, method, account, name string, f RoleFields) (RoleChange, error) {
	if err := errors.Join(accounts.ValidateRole(name), f.validate()); err != nil {
		return RoleChange{}, err
	}
	a, err := liveAccount(ctx, tx, account)
	if err != nil {
		return RoleChange{}, err
	}
	roles, err := tx.Roles(ctx, account)
	if err != nil {
		return RoleChange{}, err
	}
	for _, other := range roles {
		if other.Name == name {
			return RoleChange{}, taken("ROLE_EXISTS", "role_id", RoleName(tx.Organization(), account, name))
		}
	}
	if len(roles) >= rolesMax {
		return RoleChange{}, errs.New(errs.Exhausted, "ROLE_QUOTA", "the account %q has %d roles, and no more are allowed", account, len(roles)).
			WithNext("delete one, or give users permissions of their own")
	}
	r := store.Role{Name: name, CreateTime: tx.Now}
	f.apply(&r, tx.Now)
	if err := s.addKey(ctx, &r, a.PublicKey, store.KeyActive, tx.Now); err != nil {
		return RoleChange{}, err
	}
	return s.putRole(ctx, tx, method, a, append(roles, r), r)
}

// putRole writes a role and publishes its account. Roles are all of the
// account's as they will be.
func (s *Service) putRole(ctx context.Context, tx *store.Tx, method string, a store.Account, roles []store.Role, r store.Role) (RoleChange, error) {
	revocations, err := tx.Revocations(ctx, a.ID)
	if err != nil {
		return RoleChange{}, err
	}
	operation, err := s.publish(ctx, tx, method, RoleName(tx.Organization(), a.ID, r.Name), a, roles, revocations)
	if err != nil {
		return RoleChange{}, err
	}
	for i := range r.Keys {
		if r.Keys[i].State == store.KeyStaged && r.Keys[i].Operation == "" {
			r.Keys[i].Operation = operation.ID
		}
	}
	return RoleChange{Role: r, Operation: &operation}, tx.PutRole(a.ID, r)
}

// changeRole reads a role, lets change work on it, writes it and publishes its
// account.
func (s *Service) changeRole(ctx context.Context, tx *store.Tx, method, account, name, etag string, change func(a store.Account, r *store.Role) error) (RoleChange, error) {
	a, err := liveAccount(ctx, tx, account)
	if err != nil {
		return RoleChange{}, err
	}
	roles, err := tx.Roles(ctx, account)
	if err != nil {
		return RoleChange{}, err
	}
	for i := range roles {
		if roles[i].Name != name {
			continue
		}
		if err := checkEtag(etag, roles[i].Revision); err != nil {
			return RoleChange{}, err
		}
		if err := change(a, &roles[i]); err != nil {
			return RoleChange{}, err
		}
		roles[i].UpdateTime = tx.Now
		return s.putRole(ctx, tx, method, a, roles, roles[i])
	}
	return RoleChange{}, store.ErrNotFound
}

// UpdateRole changes writable fields. Brokers hear of it when permissions
// or limits change.
func (s *Service) UpdateRole(ctx context.Context, tx *store.Tx, method, account, name, etag string, change func(*RoleFields) error) (RoleChange, error) {
	if _, err := liveAccount(ctx, tx, account); err != nil {
		return RoleChange{}, err
	}
	r, err := tx.Role(ctx, account, name)
	if err != nil {
		return RoleChange{}, err
	}
	if err := checkEtag(etag, r.Revision); err != nil {
		return RoleChange{}, err
	}
	f := RoleFields{DisplayName: r.DisplayName, Permissions: r.Permissions, MaxTTL: time.Duration(r.MaxTTLSeconds) * time.Second, Limits: r.Limits}
	if err := change(&f); err != nil {
		return RoleChange{}, err
	}
	if err := f.validate(); err != nil {
		return RoleChange{}, err
	}
	if reflect.DeepEqual(f.Permissions, r.Permissions) && f.Limits.Equal(r.Limits) {
		f.apply(&r, tx.Now)
		return RoleChange{Role: r}, tx.PutRole(account, r)
	}
	return s.changeRole(ctx, tx, method, account, name, etag, func(_ store.Account, r *store.Role) error {
		f.apply(r, tx.Now)
		return nil
	})
}

// DeleteRole ends a role that no user has.
func (s *Service) DeleteRole(ctx context.Context, tx *store.Tx, method, account, name, etag string) (store.Operation, error) {
	a, err := liveAccount(ctx, tx, account)
	if err != nil {
		return store.Operation{}, err
	}
	r, err := tx.Role(ctx, account, name)
	if err != nil {
		return store.Operation{}, err
	}
	if err := checkEtag(etag, r.Revision); err != nil {
		return store.Operation{}, err
	}
	if name == accounts.DefaultRole {
		return store.Operation{}, errs.New(errs.Precondition, "DEFAULT_ROLE", "the default role cannot be deleted").
			WithNext("narrow its permissions instead")
	}
	users, err := tx.AllUsers(ctx, account)
	if err != nil {
		return store.Operation{}, err
	}
	for _, u := range users {
		if u.Role == name {
			return store.Operation{}, errs.New(errs.Precondition, "ROLE_IN_USE", "the user %q has the role %q", u.ID, name).
				WithNext("give its users another role, or delete them first")
		}
	}
	roles, err := tx.Roles(ctx, account)
	if err != nil {
		return store.Operation{}, err
	}
	var left []store.Role
	for _, other := range roles {
		if other.Name != name {
			left = append(left, other)
		}
	}
	revocations, err := tx.Revocations(ctx, account)
	if err != nil {
		return store.Operation{}, err
	}
	tx.DeleteRole(account, name)
	return s.publish(ctx, tx, method, RoleName(tx.Organization(), account, name), a, left, revocations)
}
