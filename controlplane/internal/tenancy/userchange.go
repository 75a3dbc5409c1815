package tenancy

import (
	"context"
	"maps"
	"reflect"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// suspendedMax bounds the keys that are refused because their users are
// suspended: they are in the claims that every broker of the account holds.
const suspendedMax = 2000

// UserChange is a user as a change leaves it. Operation is nil when the brokers
// have nothing to do.
type UserChange struct {
	User      store.User
	Operation *store.Operation
	Revoked   int // credentials
}

// UpdateUser changes writable fields. When what the user may do changes, its
// credentials are revoked unless keep is true.
func (s *Service) UpdateUser(ctx context.Context, tx *store.Tx, method, account, id, etag string, keep bool, change func(*UserFields) error) (UserChange, error) {
	u, same, err := s.changeUser(ctx, tx, account, id, etag, change)
	if err != nil || same || keep {
		return UserChange{User: u}, err
	}
	r, live, err := liveCredentials(ctx, tx, account, id)
	if err != nil || len(live) == 0 {
		return UserChange{User: u}, err
	}
	operation, err := s.revoke(ctx, tx, method, UserName(tx.Organization(), account, id), account, r, live)
	return UserChange{User: u, Operation: &operation, Revoked: len(live)}, err
}

// changeUser puts a user with other fields. same says that it may do the same as
// before.
func (s *Service) changeUser(ctx context.Context, tx *store.Tx, account, id, etag string, change func(*UserFields) error) (u store.User, same bool, err error) {
	if u, err = s.userToChange(ctx, tx, account, id, etag); err != nil {
		return u, false, err
	}
	f := UserFields{DisplayName: u.DisplayName, Role: u.Role, Permissions: u.Permissions, Limits: u.Limits}
	if err := change(&f); err != nil {
		return u, false, err
	}
	if f.Role == "" && f.Permissions == nil {
		f.Role = accounts.DefaultRole
	}
	if err := f.validate(); err != nil {
		return u, false, err
	}
	if err := checkRole(ctx, tx, account, f.Role); err != nil {
		return u, false, err
	}
	same = f.Role == u.Role && reflect.DeepEqual(f.Permissions, u.Permissions) && f.Limits.Equal(u.Limits)
	u.DisplayName, u.Role, u.Permissions, u.Limits, u.UpdateTime = f.DisplayName, f.Role, f.Permissions, f.Limits, tx.Now
	return u, same, tx.PutUser(u)
}

// SameRights reports whether two states of a user may do the same, so that its
// credentials need not be revoked.
func SameRights(a, b store.User) bool {
	return a.Role == b.Role && reflect.DeepEqual(a.Permissions, b.Permissions) && a.Limits.Equal(b.Limits)
}

func (s *Service) userToChange(ctx context.Context, tx *store.Tx, account, id, etag string) (store.User, error) {
	if _, err := liveAccount(ctx, tx, account); err != nil {
		return store.User{}, err
	}
	u, err := tx.User(ctx, account, id)
	if err != nil {
		return store.User{}, err
	}
	return u, checkEtag(etag, u.Revision)
}

// liveCredentials reads what an account refuses and which credentials of a user
// are good.
func liveCredentials(ctx context.Context, tx *store.Tx, account, user string) (store.Revocations, []store.Credential, error) {
	r, err := tx.Revocations(ctx, account)
	if err != nil {
		return r, nil, err
	}
	issued, err := tx.AllCredentials(ctx, account, user)
	if err != nil {
		return r, nil, err
	}
	var live []store.Credential
	for _, c := range issued {
		if LifeOf(c, r.Revocations, tx.Now).good() {
			live = append(live, c)
		}
	}
	return r, live, nil
}

// SetUserSuspended refuses all credentials of a user, or accepts them again.
// Doing it again does no harm.
func (s *Service) SetUserSuspended(ctx context.Context, tx *store.Tx, method, account, id, etag string, suspended bool) (UserChange, error) {
	u, err := s.userToChange(ctx, tx, account, id, etag)
	if err != nil {
		return UserChange{}, err
	}
	r, live, err := liveCredentials(ctx, tx, account, id)
	if err != nil {
		return UserChange{}, err
	}
	r.Suspended = without(r.Suspended, id)
	if suspended {
		var entries accounts.Revocations
		for _, c := range live {
			issued := c.IssueTime.Unix()
			entries = entries.With(accounts.Revocation{
				PublicKey: c.PublicKey, At: max(tx.Now.Unix(), issued), Issued: issued, Until: c.Lapse(),
			})
		}
		r.Suspended[id] = entries.Entries
	}
	if held := suspendedKeys(r); held > suspendedMax {
		return UserChange{}, errs.New(errs.Exhausted, "SUSPENSION_QUOTA", "%d keys of suspended users would be refused, and no more than %d may be", held, suspendedMax).
			WithNext("delete users that are not to come back, or suspend the account")
	}
	u.Suspended, u.UpdateTime = suspended, tx.Now
	if err := tx.PutUser(u); err != nil {
		return UserChange{}, err
	}
	if err := tx.PutRevocations(account, r); err != nil {
		return UserChange{}, err
	}
	a, err := tx.Account(ctx, account)
	if err != nil {
		return UserChange{}, err
	}
	roles, err := tx.Roles(ctx, account)
	if err != nil {
		return UserChange{}, err
	}
	operation, err := s.publish(ctx, tx, method, UserName(tx.Organization(), account, id), a, roles, r)
	return UserChange{User: u, Operation: &operation}, err
}

func suspendedKeys(r store.Revocations) int {
	n := 0
	for _, entries := range r.Suspended {
		n += len(entries)
	}
	return n
}

// without returns suspensions without a user's; it changes nothing in place.
func without(suspended map[string][]accounts.Revocation, user string) map[string][]accounts.Revocation {
	out := map[string][]accounts.Revocation{}
	maps.Copy(out, suspended)
	delete(out, user)
	return out
}
