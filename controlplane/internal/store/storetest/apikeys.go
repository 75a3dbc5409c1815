package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
)

func testServiceAccounts(t *testing.T, s *store.Store) {
	for _, org := range []string{"acme", "globex"} {
		key := store.APIKey{ID: "key_" + org, ServiceAccount: "ci", Hash: []byte("h")}
		mustApply(t, s, change(org, ""), func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(createOrg(ctx, tx), tx.CreateServiceAccount(ctx, store.ServiceAccount{ID: "ci", Bindings: []store.RoleBinding{{Role: "admin"}}}),
				tx.CreateAPIKey(ctx, key), tx.PutKeys(store.Holder{ServiceAccount: "ci"}, []store.APIKey{key}, nil))
		})
	}
	acme := view(t, s, "acme")
	if keys, err := acme.Keys(t.Context(), store.Holder{ServiceAccount: "ci"}); err != nil || len(keys) != 1 || keys[0].ID != "key_acme" || keys[0].Organization != "acme" {
		t.Errorf("keys %+v, %v", keys, err)
	}
	for _, read := range []struct {
		holder store.Holder
		id     string
	}{
		{store.Holder{ServiceAccount: "ci"}, "key_globex"},
		{store.Holder{ServiceAccount: "other"}, "key_acme"},
		{store.Holder{}, "key_acme"},
		{store.Holder{Member: "ci"}, "key_acme"},
	} {
		if _, err := acme.Key(t.Context(), read.holder, read.id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("acme reads %+v: %v", read, err)
		}
	}
	bearer, err := s.BearerOf(t.Context(), store.APIKey{Organization: "acme", ServiceAccount: "ci"})
	if err != nil || len(bearer.Bindings) != 1 {
		t.Errorf("bearer %+v, %v", bearer, err)
	}
	used := time.Unix(7, 0).UTC()
	for _, id := range []string{"key_acme", "key_gone"} {
		if err := s.NoteUse(t.Context(), id, used); err != nil {
			t.Fatal(err)
		}
	}
	list, next, err := view(t, s, "acme").OrgKeys(t.Context(), store.Page{Size: 9})
	if err != nil || next != "" || len(list) != 1 || list[0].ID != "key_acme" || !list[0].UseTime.Equal(used) {
		t.Errorf("keys of acme: %+v, %q, %v", list, next, err)
	}
	// That a key is used meanwhile does not make a change run again.
	runs := 0
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		runs++
		k, err := tx.Key(ctx, store.Holder{ServiceAccount: "ci"}, "key_acme")
		k.Disabled = true
		return errors.Join(err, s.NoteUse(ctx, k.ID, used.Add(time.Duration(runs)*time.Hour)), tx.PutAPIKey(k))
	})
	if runs != 1 {
		t.Errorf("the change ran %d times", runs)
	}
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.ServiceAccount(ctx, "ci")
		keys, errKeys := tx.Keys(ctx, store.Holder{ServiceAccount: "ci"})
		tx.DeleteServiceAccount(a, keys)
		return errors.Join(err, errKeys)
	})
	if err := s.NoteUse(t.Context(), "key_acme", used); err != nil {
		t.Fatal(err)
	}
	if _, err := s.APIKey(t.Context(), "key_acme"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("key of a deleted service account: %v", err)
	}
	if list, _, err := view(t, s, "acme").OrgKeys(t.Context(), store.Page{Size: 9}); err != nil || len(list) != 0 {
		t.Errorf("keys after the end: %+v, %v", list, err)
	}
	if _, err := s.APIKey(t.Context(), "key_globex"); err != nil {
		t.Errorf("the other organization's key: %v", err)
	}
}
