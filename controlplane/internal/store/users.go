package store

import (
	"context"
	"slices"

	"github.com/coveymq/covey/accounts"
)

// User reads one user of an account.
func (v *View) User(ctx context.Context, account, id string) (User, error) {
	var u User
	return u, v.load(ctx, v.orgKey("user/%s/%s", account, id), &u)
}

// Users lists the users of an account by id.
func (v *View) Users(ctx context.Context, account string, p Page) ([]User, string, error) {
	return loadPage[User](ctx, v, v.orgKey("user/%s/", account), p)
}

// AllUsers reads all users of an account. A Tx that commits conflicts with
// whoever was added or changed meanwhile.
func (v *View) AllUsers(ctx context.Context, account string) ([]User, error) {
	return loadAll[User](ctx, v, v.orgKey("user/%s/", account))
}

// aheadAtOnce is how much is read ahead in one call.
const aheadAtOnce = 100

// AheadUsers reads users of an account in few calls, and with them what was issued
// to each, for those who read them one by one afterwards.
func (v *View) AheadUsers(ctx context.Context, account string, users []string) error {
	all := []wanted{{key: v.orgKey("account/%s", account)}, {key: v.orgKey("revocations/%s", account)}}
	known := map[string]bool{}
	for _, user := range users {
		if !known[user] {
			known[user] = true
			all = append(all, wanted{key: v.orgKey("user/%s/%s", account, user)}, wanted{key: v.credentialPrefix(account, user), prefix: true})
		}
	}
	for part := range slices.Chunk(all, aheadAtOnce) {
		if err := v.ahead(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

// UsersNamed reads users of an account by id, in that order, as they are at one
// moment. missing is the first that is not there.
func (v *View) UsersNamed(ctx context.Context, account string, ids []string) (list []User, missing string, err error) {
	if _, err := v.Org(ctx); err != nil { // settles the moment
		return nil, "", err
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = v.orgKey("user/%s/%s", account, id)
	}
	found := make(map[string]User, len(ids))
	err = v.batch(ctx, keys, func(key string, value []byte, revision int64) error {
		var u User
		err := decode(key, value, revision, &u)
		found[key] = u
		return err
	})
	if err != nil {
		return nil, "", err
	}
	for i, key := range keys {
		u, there := found[key]
		if !there {
			return nil, ids[i], nil
		}
		list = append(list, u)
	}
	return list, "", nil
}

// CreateUser puts a new user.
func (t *Tx) CreateUser(ctx context.Context, u User) error {
	if err := t.create(ctx, t.orgKey("user/%s/%s", u.Account, u.ID), u); err != nil {
		return err
	}
	t.newUsers++
	return nil
}

// PutUser replaces a user that was read.
func (t *Tx) PutUser(u User) error { return t.put(t.orgKey("user/%s/%s", u.Account, u.ID), u) }

// DeleteUser removes a user, the records of its credentials, and its hold on
// their keys.
func (t *Tx) DeleteUser(u User, keys []string) {
	t.remove(t.orgKey("user/%s/%s", u.Account, u.ID))
	t.removeAll(t.orgKey("cred/%s/%s/", u.Account, u.ID))
	t.removeAll(t.seenPrefix(u.Account, u.ID))
	for _, key := range keys {
		t.remove(t.orgKey("userkey/%s/%s", u.Account, key))
	}
}

func (v *View) credentialPrefix(account, user string) string {
	return v.orgKey("cred/%s/%s/", account, user)
}

// Credential reads one credential.
func (v *View) Credential(ctx context.Context, account, user, id string) (Credential, error) {
	var c Credential
	return c, v.load(ctx, v.credentialPrefix(account, user)+accounts.NewestFirst(id), &c)
}

// SeenCredential reads one credential, and when it was last seen.
func (v *View) SeenCredential(ctx context.Context, account, user, id string) (Credential, error) {
	c, err := v.Credential(ctx, account, user, id)
	if err != nil {
		return Credential{}, err
	}
	list := []Credential{c}
	err = v.markSeen(ctx, account, user, list)
	return list[0], err
}

// Credentials lists what was issued to a user, newest first, and when each was last
// seen.
func (v *View) Credentials(ctx context.Context, account, user string, p Page) ([]Credential, string, error) {
	list, next, err := loadPage[Credential](ctx, v, v.credentialPrefix(account, user), p)
	if err != nil {
		return nil, "", err
	}
	return list, next, v.markSeen(ctx, account, user, list)
}

// AllCredentials reads everything that was issued to a user, newest first.
func (v *View) AllCredentials(ctx context.Context, account, user string) ([]Credential, error) {
	return loadAll[Credential](ctx, v, v.credentialPrefix(account, user))
}

// AccountCredentials reads everything that was issued in an account. Unlike
// AllCredentials it does not make a Tx conflict with what is issued meanwhile.
func (v *View) AccountCredentials(ctx context.Context, account string) ([]Credential, error) {
	var all []Credential
	p := Page{Size: pageSizeMax}
	prefix := v.orgKey("cred/%s/", account)
	for {
		page, next, err := loadPage[Credential](ctx, v, prefix, p)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		p.After = next
	}
}

// PutCredential puts a new or changed credential.
func (t *Tx) PutCredential(c Credential) error {
	return t.put(t.credentialPrefix(c.Account, c.User)+accounts.NewestFirst(c.ID), c)
}

// ForgetCredential removes the record of a credential and, if freeKey is true,
// its user's hold on the public key.
func (t *Tx) ForgetCredential(c Credential, freeKey bool) {
	t.remove(t.credentialPrefix(c.Account, c.User) + accounts.NewestFirst(c.ID))
	if freeKey {
		t.remove(t.orgKey("userkey/%s/%s", c.Account, c.PublicKey))
		t.remove(t.seenPrefix(c.Account, c.User) + c.PublicKey)
	}
}

// HoldsKey reports whether a user of an account holds a public user key.
func (v *View) HoldsKey(ctx context.Context, account, public string) (bool, error) {
	return v.exists(ctx, v.orgKey("userkey/%s/%s", account, public))
}

// ClaimNewKey notes that a user holds a public user key that was made just now, so
// that nobody else can.
func (t *Tx) ClaimNewKey(account, user, public string) error {
	return t.put(t.orgKey("userkey/%s/%s", account, public), keyOwner{User: user})
}

// ClaimKey notes that a user holds a public user key; ErrExists means that
// another user of the account does.
func (t *Tx) ClaimKey(ctx context.Context, account, user, public string) error {
	key := t.orgKey("userkey/%s/%s", account, public)
	var owner keyOwner
	switch err := t.load(ctx, key, &owner); {
	case isNotFound(err):
		return t.put(key, keyOwner{User: user})
	case err != nil:
		return err
	case owner.User != user:
		return ErrExists
	}
	return nil
}
