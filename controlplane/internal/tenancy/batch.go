package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// itemError says at which of several things a change stopped. None of them is made.
func itemError(err error, i, all int, what string) error {
	var e *errs.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%d of %d (%s): %w", i+1, all, what, err)
	}
	return errs.New(e.Code, e.Reason, "%d of %d, %q: %s; none of them is changed", i+1, all, what, e.Message).
		WithField(e.Field).WithRetry(e.Retry).WithNext("%s", e.Next).WithCause(err)
}

// NewUserCredential is a credential to issue to a user.
type NewUserCredential struct {
	User string
	NewCredential
}

// IssueCredentials signs JWTs for users of one account, all or none.
func (s *Service) IssueCredentials(ctx context.Context, tx *store.Tx, account string, in []NewUserCredential) ([]Issued, error) {
	ids, brought := make([]string, len(in)), map[string][]string{}
	seen := map[string]bool{}
	for i, n := range in {
		if n.PublicKey != "" && seen[n.PublicKey] {
			return nil, itemError(errs.New(errs.Invalid, "INVALID_FIELD", "its public key is there twice").WithField("requests"), i, len(in), n.User)
		}
		seen[n.PublicKey] = true
		ids[i], brought[n.User] = n.User, append(brought[n.User], n.PublicKey)
	}
	if err := tx.AheadUsers(ctx, account, ids); err != nil {
		return nil, err
	}
	a, err := liveAccount(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	r, err := tx.Revocations(ctx, account)
	if err != nil {
		return nil, err
	}
	users := map[string]store.User{}
	out := make([]Issued, len(in))
	for i, n := range in {
		u, ready := users[n.User]
		if !ready {
			if u, err = s.userToIssue(ctx, tx, account, n.User, r, brought[n.User]); err != nil {
				return nil, itemError(err, i, len(in), n.User)
			}
			users[n.User] = u
		}
		if out[i], err = s.issueTo(ctx, tx, a, u, r, n.NewCredential); err != nil {
			return nil, itemError(err, i, len(in), n.User)
		}
	}
	return out, nil
}

// userToIssue reads a user and makes room for what it is about to get.
func (s *Service) userToIssue(ctx context.Context, tx *store.Tx, account, id string, r store.Revocations, fresh []string) (store.User, error) {
	u, err := tx.User(ctx, account, id)
	if err != nil {
		return u, namedMissing(err, UserName(tx.Organization(), account, id))
	}
	if u.Suspended {
		return u, errSuspendedUser(id)
	}
	return u, makeRoom(ctx, tx, u, r.Revocations, fresh...)
}

// namedMissing says of what is not there what it is.
func namedMissing(err error, name string) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return errs.New(errs.NotFound, store.ErrNotFound.Reason, "there is no %q", name)
}

// CredentialRef names a credential of an account, and the etag that it must have
// if that is not empty.
type CredentialRef struct{ User, ID, Etag string }

// RevokeCredentials refuses credentials of one account from now on, all or none. Of
// each its key pair goes with it, as RevokeCredential has it.
func (s *Service) RevokeCredentials(ctx context.Context, tx *store.Tx, method, account string, refs []CredentialRef) ([]store.Credential, store.Operation, error) {
	ids := make([]string, len(refs))
	for i, ref := range refs {
		ids[i] = ref.User
	}
	if err := tx.AheadUsers(ctx, account, ids); err != nil {
		return nil, store.Operation{}, err
	}
	r, err := tx.Revocations(ctx, account)
	if err != nil {
		return nil, store.Operation{}, err
	}
	issued, listed := map[string][]store.Credential{}, map[string]bool{}
	keys := map[string]map[string]bool{} // of each user
	out := make([]store.Credential, len(refs))
	for i, ref := range refs {
		name := CredentialName(tx.Organization(), store.Credential{Account: account, User: ref.User, ID: ref.ID})
		if listed[name] {
			return nil, store.Operation{}, itemError(errs.New(errs.Invalid, "INVALID_FIELD", "it is there twice").WithField("requests"), i, len(refs), name)
		}
		listed[name] = true
		if _, read := issued[ref.User]; !read {
			if issued[ref.User], err = tx.AllCredentials(ctx, account, ref.User); err != nil {
				return nil, store.Operation{}, err
			}
			keys[ref.User] = map[string]bool{}
		}
		if out[i], err = revokeOne(tx, issued[ref.User], ref, name); err != nil {
			return nil, store.Operation{}, itemError(err, i, len(refs), name)
		}
		keys[ref.User][out[i].PublicKey] = true
	}
	var dead []store.Credential
	for user, all := range issued {
		for _, c := range all {
			if keys[user][c.PublicKey] {
				dead = append(dead, c)
			}
		}
	}
	operation, err := s.revoke(ctx, tx, method, AccountName(tx.Organization(), account), account, r, dead)
	return out, operation, err
}

func revokeOne(tx *store.Tx, issued []store.Credential, ref CredentialRef, name string) (store.Credential, error) {
	for _, c := range issued {
		if c.ID != ref.ID {
			continue
		}
		if err := checkEtag(ref.Etag, c.Revision); err != nil {
			return c, err
		}
		if c.RevokeTime.IsZero() {
			c.RevokeTime = tx.Now
		}
		return c, tx.PutCredential(c)
	}
	return store.Credential{}, namedMissing(store.ErrNotFound, name)
}

// UserToChange is a user and how it is to be changed.
type UserToChange struct {
	ID, Etag string
	Keep     bool // its credentials, whatever changes
	Change   func(*UserFields) error
}

// UsersChange is users as a change leaves them. Operation is nil when the brokers
// have nothing to do.
type UsersChange struct {
	Users     []store.User
	Operation *store.Operation
	Revoked   int // credentials
}

// UpdateUsers changes writable fields of users of one account, all or none, each as
// UpdateUser does.
func (s *Service) UpdateUsers(ctx context.Context, tx *store.Tx, method, account string, in []UserToChange) (UsersChange, error) {
	ids := make([]string, len(in))
	for i, n := range in {
		ids[i] = n.ID
	}
	if err := tx.AheadUsers(ctx, account, ids); err != nil {
		return UsersChange{}, err
	}
	out := UsersChange{Users: make([]store.User, len(in))}
	var dead []store.Credential
	listed := map[string]bool{}
	for i, n := range in {
		if listed[n.ID] {
			return UsersChange{}, itemError(errs.New(errs.Invalid, "INVALID_FIELD", "it is there twice").WithField("requests"), i, len(in), n.ID)
		}
		listed[n.ID] = true
		u, same, err := s.changeUser(ctx, tx, account, n.ID, n.Etag, n.Change)
		if err != nil {
			return UsersChange{}, itemError(namedMissing(err, UserName(tx.Organization(), account, n.ID)), i, len(in), n.ID)
		}
		out.Users[i] = u
		if same || n.Keep {
			continue
		}
		_, live, err := liveCredentials(ctx, tx, account, n.ID)
		if err != nil {
			return UsersChange{}, err
		}
		dead = append(dead, live...)
	}
	if len(dead) == 0 {
		return out, nil
	}
	r, err := tx.Revocations(ctx, account)
	if err != nil {
		return UsersChange{}, err
	}
	operation, err := s.revoke(ctx, tx, method, AccountName(tx.Organization(), account), account, r, dead)
	out.Operation, out.Revoked = &operation, len(dead)
	return out, err
}
