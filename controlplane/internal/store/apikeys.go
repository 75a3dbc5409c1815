package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ServiceAccount reads one service account.
func (v *View) ServiceAccount(ctx context.Context, id string) (ServiceAccount, error) {
	var a ServiceAccount
	return a, v.load(ctx, v.orgKey("sa/%s", id), &a)
}

// ServiceAccounts lists service accounts by id.
func (v *View) ServiceAccounts(ctx context.Context, p Page) ([]ServiceAccount, string, error) {
	return loadPage[ServiceAccount](ctx, v, v.orgKey("sa/"), p)
}

// AllServiceAccounts reads all service accounts. A Tx that commits conflicts
// with whichever was added or changed meanwhile.
func (v *View) AllServiceAccounts(ctx context.Context) ([]ServiceAccount, error) {
	return loadAll[ServiceAccount](ctx, v, v.orgKey("sa/"))
}

// CreateServiceAccount puts a new service account.
func (t *Tx) CreateServiceAccount(ctx context.Context, a ServiceAccount) error {
	return t.create(ctx, t.orgKey("sa/%s", a.ID), a)
}

// PutServiceAccount replaces a service account that was read.
func (t *Tx) PutServiceAccount(a ServiceAccount) error { return t.put(t.orgKey("sa/%s", a.ID), a) }

// DeleteServiceAccount removes a service account and its keys.
func (t *Tx) DeleteServiceAccount(a ServiceAccount, keys []APIKey) {
	t.remove(t.orgKey("sa/%s", a.ID))
	t.remove(t.holderKey(Holder{ServiceAccount: a.ID}))
	for _, k := range keys {
		t.removeKey(k)
	}
}

// APIKey reads what is known of an API key, whatever its organization: whose
// it is decides the scope of all that follows.
func (s *Store) APIKey(ctx context.Context, id string) (APIKey, error) {
	k := APIKey{read: s.newView("")}
	all := []wanted{{key: apiKeyKey(id)}}
	if bearer := s.bearers.get(id); bearer != "" {
		all = append(all, wanted{key: bearer})
	}
	if err := k.read.ahead(ctx, all...); err != nil {
		return APIKey{}, err
	}
	return k, k.read.load(ctx, apiKeyKey(id), &k)
}

// BearerOf reads the service account or the member that an API key belongs to,
// as it was when the key was read.
func (s *Store) BearerOf(ctx context.Context, k APIKey) (Bearer, error) {
	if k.Organization == "" {
		return Bearer{}, ErrNotFound
	}
	v := s.newView(k.Organization)
	if k.read != nil {
		v.rev, v.fetched = k.read.rev, k.read.fetched
	}
	b, err := v.Bearer(ctx, k.Holder())
	for key := range v.keys { // the one that was read
		s.bearers.put(k.ID, key)
	}
	return b, err
}

// Key reads one API key of a holder.
func (v *View) Key(ctx context.Context, h Holder, id string) (APIKey, error) {
	var k APIKey
	if err := v.load(ctx, apiKeyKey(id), &k); err != nil {
		return APIKey{}, err
	}
	if k.Organization != v.org || k.Holder() != h || h.IsZero() {
		return APIKey{}, ErrNotFound
	}
	return k, v.loadUse(ctx, &k)
}

func (v *View) loadUse(ctx context.Context, k *APIKey) error {
	var used keyUse
	if err := v.load(ctx, apiKeyUseKey(k.ID), &used); err != nil {
		return ignoreNotFound(err)
	}
	k.UseTime = used.Time
	// Being used is no reason for a change to be made again.
	delete(v.keys, apiKeyUseKey(k.ID))
	return nil
}

// Keys reads all API keys of a holder, oldest first.
func (v *View) Keys(ctx context.Context, h Holder) ([]APIKey, error) {
	var ids keyIDs
	if err := v.load(ctx, v.holderKey(h), &ids); err != nil {
		return nil, ignoreNotFound(err)
	}
	keys := make([]APIKey, 0, len(ids.IDs))
	for _, id := range ids.IDs {
		k, err := v.Key(ctx, h, id)
		if err != nil {
			return nil, fmt.Errorf("read key %s: %w", id, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// OrgKeys lists the API keys of all holders of the organization, oldest first.
func (v *View) OrgKeys(ctx context.Context, p Page) ([]APIKey, string, error) {
	ids, next, err := loadKeys(ctx, v, v.orgKey("apikey/"), p)
	if err != nil {
		return nil, "", err
	}
	names := make([]string, len(ids))
	uses := make([]string, len(ids))
	for i, id := range ids {
		names[i], uses[i] = apiKeyKey(id), apiKeyUseKey(id)
	}
	keys, err := loadBatch[APIKey](ctx, v, names)
	if err != nil {
		return nil, "", err
	}
	used := map[string]time.Time{}
	err = v.batch(ctx, uses, func(key string, value []byte, revision int64) error {
		var u keyUse
		err := decode(key, value, revision, &u)
		used[key] = u.Time
		return err
	})
	for i := range keys {
		keys[i].UseTime = used[apiKeyUseKey(keys[i].ID)]
	}
	return keys, next, err
}

// CreateAPIKey puts a new API key: of a holder of the organization that the Tx
// is bound to, or of the operator.
func (t *Tx) CreateAPIKey(ctx context.Context, k APIKey) error {
	k.Organization = t.org
	if err := t.create(ctx, apiKeyKey(k.ID), k); err != nil || t.org == "" {
		return err
	}
	return t.put(t.orgKey("apikey/%s", k.ID), struct{}{})
}

// PutAPIKey replaces an API key that was read.
func (t *Tx) PutAPIKey(k APIKey) error { return t.put(apiKeyKey(k.ID), k) }

// PutKeys says which API keys a holder has from now on, oldest first, and
// removes those that are gone.
func (t *Tx) PutKeys(h Holder, keys, gone []APIKey) error {
	for _, k := range gone {
		t.removeKey(k)
	}
	var ids keyIDs
	for _, k := range keys {
		ids.IDs = append(ids.IDs, k.ID)
	}
	return t.put(t.holderKey(h), ids)
}

func (t *Tx) removeKey(k APIKey) {
	t.remove(apiKeyKey(k.ID))
	t.remove(apiKeyUseKey(k.ID))
	t.remove(t.orgKey("apikey/%s", k.ID))
}

// NoteUse keeps when an API key was accepted. It is no change of a resource: it
// leaves no audit entry and makes no other change conflict. A key that is gone
// stays gone.
func (s *Store) NoteUse(ctx context.Context, id string, at time.Time) error {
	t := &Tx{View: s.newView("")}
	if err := t.put(apiKeyUseKey(id), keyUse{Time: at.UTC()}); err != nil {
		return err
	}
	there := clientv3.Compare(clientv3.CreateRevision(apiKeyKey(id)), "!=", 0)
	if _, err := s.kv.Txn(ctx).If(there).Then(t.ops...).Commit(); err != nil {
		return unavailable("note use", err)
	}
	return nil
}
