package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
)

func testMembers(t *testing.T, s *store.Store) {
	ann := store.Holder{Member: "ann"}
	for _, org := range []string{"acme", "globex"} {
		key := store.APIKey{ID: "key_" + org, Member: "ann", Hash: []byte("h")}
		mustApply(t, s, change(org, ""), func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(createOrg(ctx, tx), tx.CreateMember(ctx, store.Member{ID: "ann", Email: "ann@" + org, Bindings: []store.RoleBinding{{Role: "owner"}}}),
				tx.CreateAPIKey(ctx, key), tx.PutKeys(ann, []store.APIKey{key}, nil),
				tx.CreateInvitation(ctx, store.Invitation{ID: "inv_1" + org, Member: "bob"}), tx.CreateInvitation(ctx, store.Invitation{ID: "inv_2" + org, Member: "eve"}))
		})
	}
	acme := view(t, s, "acme")
	if keys, err := acme.Keys(t.Context(), ann); err != nil || len(keys) != 1 || keys[0].ID != "key_acme" {
		t.Errorf("keys %+v, %v", keys, err)
	}
	if keys, err := acme.Keys(t.Context(), store.Holder{ServiceAccount: "ann"}); err != nil || len(keys) != 0 {
		t.Errorf("the service account of that name has keys %+v, %v", keys, err)
	}
	if _, err := acme.Key(t.Context(), ann, "key_globex"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("acme reads a key of globex: %v", err)
	}
	if b, err := s.BearerOf(t.Context(), store.APIKey{Organization: "globex", Member: "ann"}); err != nil || len(b.Bindings) != 1 {
		t.Errorf("bearer %+v, %v", b, err)
	}
	if list, _, err := acme.Invitations(t.Context(), store.Page{Size: 9}); err != nil || len(list) != 2 || list[0].ID != "inv_2acme" {
		t.Errorf("invitations, newest first: %+v, %v", list, err)
	}
	if org, err := s.InvitationOrganization(t.Context(), "inv_1globex"); err != nil || org != "globex" {
		t.Errorf("inv_1globex is %q's, %v", org, err)
	}
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		m, err := tx.Member(ctx, "ann")
		keys, errKeys := tx.Keys(ctx, ann)
		tx.DeleteMember(m, keys)
		i, errInvitation := tx.Invitation(ctx, "inv_1acme")
		i.AcceptTime = time.Unix(7, 0)
		tx.ForgetInvitation("inv_2acme")
		return errors.Join(err, errKeys, errInvitation, tx.PutInvitation(i))
	})
	acme = view(t, s, "acme")
	if list, err := acme.AllMembers(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("members after the end: %+v, %v", list, err)
	}
	if list, err := acme.AllInvitations(t.Context()); err != nil || len(list) != 1 || list[0].AcceptTime.IsZero() {
		t.Errorf("invitations after the end: %+v, %v", list, err)
	}
	if _, err := s.APIKey(t.Context(), "key_acme"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("key of a member that is gone: %v", err)
	}
	if _, err := s.InvitationOrganization(t.Context(), "inv_2acme"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an invitation that is forgotten: %v", err)
	}
	if list, err := view(t, s, "globex").AllMembers(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("the other organization's members: %+v, %v", list, err)
	}
}
