package tenancy

import (
	"context"
	"errors"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// UserFields are the writable fields of a user.
type UserFields struct {
	DisplayName string
	Role        string
	Permissions *accounts.Permissions
	Limits      accounts.Limits
}

// UserName returns the resource name of a user.
func UserName(organization, account, id string) string {
	return AccountName(organization, account) + "/users/" + id
}

// CreateUser makes a user. With neither a role nor permissions it gets the
// account's default role.
func (s *Service) CreateUser(ctx context.Context, tx *store.Tx, account, id string, f UserFields) (store.User, error) {
	if err := accounts.ValidateUserID(id); err != nil {
		return store.User{}, err
	}
	if f.Role == "" && f.Permissions == nil {
		f.Role = accounts.DefaultRole
	}
	if err := f.validate(); err != nil {
		return store.User{}, err
	}
	if _, err := liveAccount(ctx, tx, account); err != nil {
		return store.User{}, err
	}
	if err := checkRole(ctx, tx, account, f.Role); err != nil {
		return store.User{}, err
	}
	return newUser(ctx, tx, account, id, f)
}

// checkRole refuses a role that the account does not have; "" is none.
func checkRole(ctx context.Context, tx *store.Tx, account, role string) error {
	if role == "" {
		return nil
	}
	_, err := tx.Role(ctx, account, role)
	if errors.Is(err, store.ErrNotFound) {
		err = errs.New(errs.Precondition, "ROLE_NOT_FOUND", "the account has no role %q", role).WithField("user.role")
	}
	return err
}

func newUser(ctx context.Context, tx *store.Tx, account, id string, f UserFields) (store.User, error) {
	u := store.User{
		ID: id, UID: accounts.NewUID(accounts.PrefixUser, tx.Now), Account: account, DisplayName: f.DisplayName,
		Role: f.Role, Permissions: f.Permissions, Limits: f.Limits, CreateTime: tx.Now, UpdateTime: tx.Now,
	}
	t, err := tx.Terms(ctx)
	if err != nil {
		return u, err
	}
	if err := checkCount(ctx, tx, t, accounts.CountUsers); err != nil {
		return u, err
	}
	err = tx.CreateUser(ctx, u)
	if errors.Is(err, store.ErrExists) {
		err = taken("USER_EXISTS", "user_id", UserName(tx.Organization(), account, id))
	}
	return u, err
}

func (f UserFields) validate() error {
	if err := accounts.ValidateDisplayName("user.display_name", f.DisplayName); err != nil {
		return err
	}
	if err := f.Limits.ForUsers(); err != nil {
		return err
	}
	if f.Role != "" {
		if f.Limits.Subscriptions != nil || f.Limits.PayloadBytes != nil {
			return errs.New(errs.Invalid, "ROLE_AND_LIMITS", "a user with a role has its subscriptions and payload from there").
				WithField("user.limits").WithNext("give the limit to the role, or to the user permissions of its own instead of the role")
		}
		if f.Permissions != nil {
			return errs.New(errs.Invalid, "ROLE_AND_PERMISSIONS", "a user with a role has no permissions of its own").
				WithField("user.permissions").WithNext("leave out either the role or the permissions")
		}
		return accounts.ValidateRole(f.Role)
	}
	if f.Permissions != nil {
		return f.Permissions.Validate("user.permissions")
	}
	return nil
}

// DeleteUser ends a user. The operation is nil when no live credential had to
// be revoked.
func (s *Service) DeleteUser(ctx context.Context, tx *store.Tx, method, account, id, etag string) (*store.Operation, error) {
	u, err := tx.User(ctx, account, id)
	if err != nil {
		return nil, err
	}
	if err := checkEtag(etag, u.Revision); err != nil {
		return nil, err
	}
	issued, err := tx.AllCredentials(ctx, account, id)
	if err != nil {
		return nil, err
	}
	r, err := tx.Revocations(ctx, account)
	if err != nil {
		return nil, err
	}
	var live []store.Credential
	held := map[string]bool{}
	var keys []string
	for _, c := range issued {
		if LifeOf(c, r.Revocations, tx.Now).good() {
			live = append(live, c)
		}
		if !held[c.PublicKey] {
			held[c.PublicKey] = true
			keys = append(keys, c.PublicKey)
		}
	}
	tx.DeleteUser(u, keys)
	if len(live) == 0 && !u.Suspended {
		return nil, nil //nolint:nilnil // no operation is an answer
	}
	r.Suspended = without(r.Suspended, id)
	operation, err := s.revoke(ctx, tx, method, UserName(tx.Organization(), account, id), account, r, live)
	return &operation, err
}
