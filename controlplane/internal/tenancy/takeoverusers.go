package tenancy

import (
	"context"
	"errors"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// usersAtOnce is how many users one change takes over; each is three records.
const usersAtOnce = 30

// takenUser is a user on its way in.
type takenUser struct {
	user       store.User
	credential store.Credential
}

// takeUsers makes the users of an account, and notes what was issued to them.
func (s *Service) takeUsers(ctx context.Context, st *store.Store, t *taking, out *TakenOver) error {
	list, err := t.usersOf(ctx, st, out)
	if err != nil {
		return err
	}
	for len(list) > 0 {
		n := min(len(list), usersAtOnce)
		change := t.change("ImportUsers", AccountName(t.organization, t.id))
		_, _, err := store.Update(ctx, st, change, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
			for _, u := range list[:n] {
				if err := putUser(ctx, tx, u); err != nil {
					return struct{}{}, store.Outcome{}, err
				}
			}
			return struct{}{}, store.Outcome{}, nil
		})
		if err != nil {
			return err
		}
		out.Users += n
		out.Credentials += n
		list = list[n:]
	}
	return nil
}

func putUser(ctx context.Context, tx *store.Tx, u takenUser) error {
	u.user.UID, u.user.CreateTime, u.user.UpdateTime = accounts.NewUID(accounts.PrefixUser, tx.Now), tx.Now, tx.Now
	if err := tx.CreateUser(ctx, u.user); err != nil {
		return err
	}
	u.credential.ID = accounts.NewUID(accounts.PrefixCredential, tx.Now)
	err := tx.ClaimKey(ctx, u.user.Account, u.user.ID, u.credential.PublicKey)
	if errors.Is(err, store.ErrExists) {
		return errs.New(errs.Invalid, "PUBLIC_KEY_IN_USE", "the user %q has the public key of another", u.user.ID)
	}
	if err != nil {
		return err
	}
	return tx.PutCredential(u.credential)
}

// usersOf makes the records of those users that are not there yet.
func (t *taking) usersOf(ctx context.Context, st *store.Store, out *TakenOver) ([]takenUser, error) {
	v, err := st.View(store.Everything(), t.organization)
	if err != nil {
		return nil, err
	}
	there, err := v.AccountCredentials(ctx, t.id)
	if err != nil {
		return nil, err
	}
	held, taken := map[string]bool{}, map[string]bool{}
	for _, c := range there {
		held[c.PublicKey], taken[c.User] = true, true
	}
	names := t.roleNames()
	var list []takenUser
	for _, f := range t.users {
		if held[f.Spec.PublicKey] {
			continue
		}
		role, plain, known := t.signer(f.Issuer)
		if !known || !plain && f.Spec.Permissions != nil {
			out.note("account %q: the user %q is left out: servers refuse what %s signed for it", t.foreign.Spec.Name, f.Spec.Name, f.Issuer)
			continue
		}
		id := accounts.UserIDFrom(f.Spec.Name, func(id string) bool { return taken[id] })
		taken[id], held[f.Spec.PublicKey] = true, true
		u := store.User{ID: id, Account: t.id, Permissions: f.Spec.Permissions, Carried: f.Spec.Carried}
		if f.Spec.Name != id {
			u.DisplayName = f.Spec.Name
		}
		if !plain {
			u.Role = names[role]
		} else if u.Permissions == nil {
			u.Permissions = &accounts.Permissions{}
		}
		if f.Spec.Expires.IsZero() {
			out.note("account %q: the credential of the user %q never expires", t.foreign.Spec.Name, f.Spec.Name)
		}
		list = append(list, takenUser{user: u, credential: store.Credential{
			Account: t.id, User: id, PublicKey: f.Spec.PublicKey, TokenID: f.Token.ID, IssuerKey: f.Issuer, IssueTime: f.Token.IssuedAt,
			ExpireTime: f.Spec.Expires, Requester: importer,
		}})
	}
	return list, nil
}
