package store

import (
	"context"
	"time"
)

// Account reads one account.
func (v *View) Account(ctx context.Context, id string) (Account, error) {
	var a Account
	if err := v.load(ctx, v.orgKey("account/%s", id), &a); err != nil {
		return Account{}, err
	}
	_, revision, err := v.get(ctx, claimsKey(a.PublicKey))
	a.ClaimsRevision = revision
	return a, err
}

// Accounts lists accounts by id.
func (v *View) Accounts(ctx context.Context, p Page) ([]Account, string, error) {
	list, next, err := loadPage[Account](ctx, v, v.orgKey("account/"), p)
	if err != nil {
		return nil, "", err
	}
	keys := make([]string, len(list))
	at := make(map[string]*Account, len(list))
	for i := range list {
		keys[i] = claimsKey(list[i].PublicKey)
		at[keys[i]] = &list[i]
	}
	err = v.batch(ctx, keys, func(key string, _ []byte, revision int64) error {
		at[key].ClaimsRevision = revision
		return nil
	})
	return list, next, err
}

// AllAccounts reads all accounts. A Tx that commits conflicts with whichever was
// added or changed meanwhile.
func (v *View) AllAccounts(ctx context.Context) ([]Account, error) {
	return loadAll[Account](ctx, v, v.orgKey("account/"))
}

// AccountsNamed reads accounts by id, in that order, as they are at one moment.
// missing is the first that is not there.
func (v *View) AccountsNamed(ctx context.Context, ids []string) (list []Account, missing string, err error) {
	if _, err := v.Org(ctx); err != nil { // settles the moment
		return nil, "", err
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = v.orgKey("account/%s", id)
	}
	found := make(map[string]*Account, len(ids))
	err = v.batch(ctx, keys, func(key string, value []byte, revision int64) error {
		found[key] = &Account{}
		return decode(key, value, revision, found[key])
	})
	if err != nil {
		return nil, "", err
	}
	claims, of := make([]string, len(ids)), make(map[string]*Account, len(ids))
	for i, key := range keys {
		a := found[key]
		if a == nil {
			return nil, ids[i], nil
		}
		claims[i] = claimsKey(a.PublicKey)
		of[claims[i]] = a
	}
	err = v.batch(ctx, claims, func(key string, _ []byte, revision int64) error {
		of[key].ClaimsRevision = revision
		return nil
	})
	for _, key := range keys {
		list = append(list, *found[key])
	}
	return list, "", err
}

// OwnsAccount reports whether the organization has an account with a public key.
func (v *View) OwnsAccount(ctx context.Context, public string) (bool, error) {
	var r AccountRef
	err := v.load(ctx, accountIndexKey(public), &r)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil && v.org != "" && r.Organization == v.org && r.DeleteTime.IsZero(), err
}

// Roles reads all roles of an account.
func (v *View) Roles(ctx context.Context, account string) ([]Role, error) {
	return loadAll[Role](ctx, v, v.orgKey("role/%s/", account))
}

// RolePage lists roles of an account by name.
func (v *View) RolePage(ctx context.Context, account string, p Page) ([]Role, string, error) {
	return loadPage[Role](ctx, v, v.orgKey("role/%s/", account), p)
}

// Role reads one role of an account.
func (v *View) Role(ctx context.Context, account, name string) (Role, error) {
	var r Role
	return r, v.load(ctx, v.orgKey("role/%s/%s", account, name), &r)
}

// Revocations reads what an account refuses.
func (v *View) Revocations(ctx context.Context, account string) (Revocations, error) {
	var r Revocations
	return r, ignoreNotFound(v.load(ctx, v.orgKey("revocations/%s", account), &r))
}

// DeletedAccounts lists the accounts that the organization had, by public key.
func (v *View) DeletedAccounts(ctx context.Context) ([]AccountRef, error) {
	return loadAll[AccountRef](ctx, v, v.orgKey("deleted-account/"))
}

// CreateAccount puts a new account.
func (t *Tx) CreateAccount(ctx context.Context, a Account) error {
	if err := t.create(ctx, t.orgKey("account/%s", a.ID), a); err != nil {
		return err
	}
	t.newAccounts++
	return t.put(accountIndexKey(a.PublicKey), AccountRef{Organization: t.org, Account: a.ID, UID: a.UID, PublicKey: a.PublicKey})
}

// PutAccount replaces an account that was read.
func (t *Tx) PutAccount(a Account) error { return t.put(t.orgKey("account/%s", a.ID), a) }

// PutRole puts a role of an account.
func (t *Tx) PutRole(account string, r Role) error {
	return t.put(t.orgKey("role/%s/%s", account, r.Name), r)
}

// DeleteRole removes a role of an account.
func (t *Tx) DeleteRole(account, name string) { t.remove(t.orgKey("role/%s/%s", account, name)) }

// PutRevocations replaces what an account refuses.
func (t *Tx) PutRevocations(account string, r Revocations) error {
	return t.put(t.orgKey("revocations/%s", account), r)
}

// PutClaims puts the signed claims that brokers follow.
func (t *Tx) PutClaims(public, jwt string) { t.putText(claimsKey(public), jwt) }

// MarkDeleted replaces an account that was read by the same with a purge time.
func (t *Tx) MarkDeleted(a Account) error {
	if err := t.PutAccount(a); err != nil {
		return err
	}
	return t.put(purgeKey(a), purgeRef{Organization: t.org, Account: a.ID})
}

// MarkPurging replaces a deleted account that was read by the same whose end has
// begun and is due.
func (t *Tx) MarkPurging(a Account) error {
	before := purgeKey(a)
	a.Purging = true
	if a.PurgeTime.After(t.Now) {
		a.PurgeTime = t.Now
	}
	if purgeKey(a) != before {
		t.remove(before)
	}
	return t.MarkDeleted(a)
}

// UnmarkDeleted takes the purge time off an account that was read with one.
func (t *Tx) UnmarkDeleted(a Account) error {
	t.remove(purgeKey(a))
	a.DeleteTime, a.PurgeTime = time.Time{}, time.Time{}
	return t.PutAccount(a)
}

// DueAccount is a deleted account whose purge time has come.
type DueAccount struct{ Organization, Account string }

// DueAccounts lists at most limit deleted accounts whose purge time has come,
// the longest due first. It is for the control plane's own use: the answer
// crosses organizations.
func (s *Store) DueAccounts(ctx context.Context, now time.Time, limit int) ([]DueAccount, error) {
	v := s.newView("")
	list, _, err := loadPage[purgeRef](ctx, v, purgePrefix(), Page{Size: limit})
	if err != nil {
		return nil, err
	}
	var due []DueAccount
	for _, r := range list {
		view := s.newView(r.Organization)
		a, err := view.Account(ctx, r.Account)
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		if err == nil && a.Deleted() && !now.Before(a.PurgeTime) {
			due = append(due, DueAccount{r.Organization, r.Account})
		}
	}
	return due, nil
}

// DeleteAccount removes an account and everything below it. What remains is
// whose its key was, because its usage must still be billed and a key is
// never used again.
func (t *Tx) DeleteAccount(a Account, now time.Time) error {
	t.remove(t.orgKey("account/%s", a.ID))
	for _, below := range []string{"role", "user", "cred", "userkey", "seen", "export", "importer", "offer", "federation"} {
		t.removeAll(t.orgKey("%s/%s/", below, a.ID))
	}
	t.remove(t.orgKey("revocations/%s", a.ID))
	if a.Deleted() {
		t.remove(purgeKey(a))
	}
	t.remove(claimsKey(a.PublicKey))
	gone := AccountRef{Organization: t.org, Account: a.ID, UID: a.UID, PublicKey: a.PublicKey, DeleteTime: now}
	if err := t.put(accountIndexKey(a.PublicKey), gone); err != nil {
		return err
	}
	return t.put(t.orgKey("deleted-account/%s", a.PublicKey), gone)
}

// AccountByKey says whose an account key is. It is for the control plane's own
// use: the answer crosses organizations.
func (s *Store) AccountByKey(ctx context.Context, public string) (AccountRef, error) {
	var r AccountRef
	return r, s.newView("").load(ctx, accountIndexKey(public), &r)
}

// Claims reads an account's signed claims and their revision.
func (s *Store) Claims(ctx context.Context, public string) (string, int64, error) {
	value, revision, err := s.newView("").get(ctx, claimsKey(public))
	if err == nil && revision == 0 {
		return "", 0, ErrNotFound
	}
	return string(value), revision, err
}
