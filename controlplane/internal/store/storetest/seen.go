package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
)

// seenWorld has an organization with an account and two users, one of whom was
// issued two credentials to the same key.
func seenWorld(t *testing.T, s *store.Store) {
	t.Helper()
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(createOrg(ctx, tx), tx.CreateAccount(ctx, store.Account{ID: "orders", PublicKey: "AORDERS"}),
			tx.CreateUser(ctx, store.User{ID: "shop", Account: "orders"}), tx.CreateUser(ctx, store.User{ID: "till", Account: "orders"}),
			tx.ClaimKey(ctx, "orders", "shop", "USHOP"), tx.ClaimKey(ctx, "orders", "till", "UTILL"),
			tx.PutCredential(store.Credential{ID: "crd_2", Account: "orders", User: "shop", PublicKey: "USHOP", IssueTime: time.Unix(200, 0)}),
			tx.PutCredential(store.Credential{ID: "crd_1", Account: "orders", User: "shop", PublicKey: "USHOP", IssueTime: time.Unix(100, 0)}),
			tx.PutCredential(store.Credential{ID: "crd_3", Account: "orders", User: "till", PublicKey: "UTILL", IssueTime: time.Unix(300, 0)}))
	})
}

// revision is that of the whole store.
func revision(t *testing.T, s *store.Store) int64 {
	t.Helper()
	r := mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Org(ctx)
		return err
	})
	return r.Revision
}

func testSeen(t *testing.T, s *store.Store) {
	seenWorld(t, s)
	note := func(account, user string, issued, at int64) {
		t.Helper()
		if err := s.NoteSeen(t.Context(), []store.Sighting{{Account: account, User: user, IssuedAt: issued, Time: time.Unix(at, 0)}}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(id, user string, at int64) {
		t.Helper()
		c, err := view(t, s, "acme").SeenCredential(t.Context(), "orders", user, id)
		if err != nil || c.SeenTime.IsZero() != (at == 0) || at != 0 && c.SeenTime.Unix() != at {
			t.Errorf("%s was seen at %v, want %d: %v", id, c.SeenTime, at, err)
		}
		list, _, err := view(t, s, "acme").Credentials(t.Context(), "orders", user, store.Page{Size: 9})
		for _, other := range list {
			if other.ID == id && !other.SeenTime.Equal(c.SeenTime) {
				t.Errorf("the list has %v: %v", other.SeenTime, err)
			}
		}
	}
	want("crd_1", "shop", 0)
	note("AORDERS", "USHOP", 200, 1000)
	want("crd_2", "shop", 1000)
	want("crd_1", "shop", 0)

	// Within the hour, nothing is written, nor about strangers.
	before := revision(t, s)
	for at := range int64(3600) {
		note("AORDERS", "USHOP", 200, 1000+at)
	}
	note("AORDERS", "USTRANGER", 200, 1000)
	note("ASTRANGER", "USHOP", 200, 1000)
	note("AORDERS/", "USHOP", 200, 1000)
	note("AORDERS", "USHOP/x", 200, 1000)
	note("AORDERS", "USHOP", 200, 10) // told late
	if after := revision(t, s); after != before+1 {
		t.Errorf("%d writes for nothing", after-before-1)
	}
	note("AORDERS", "USHOP", 200, 4600)
	want("crd_2", "shop", 4600)
	note("AORDERS", "USHOP", 100, 4700)
	want("crd_1", "shop", 4700)

	// What is renewed again and again does not make the record grow.
	for issued := range int64(50) {
		note("AORDERS", "USHOP", 1000+issued, 5000)
	}
	want("crd_1", "shop", 0)

	// It ends with the user, and somebody of the same name begins anew.
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.User(ctx, "orders", "shop")
		tx.DeleteUser(u, []string{"USHOP"})
		return err
	})
	note("AORDERS", "USHOP", 200, 90_000)
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.CreateUser(ctx, store.User{ID: "shop", Account: "orders"}), tx.ClaimKey(ctx, "orders", "shop", "USHOP"),
			tx.PutCredential(store.Credential{ID: "crd_2", Account: "orders", User: "shop", PublicKey: "USHOP", IssueTime: time.Unix(200, 0)}))
	})
	want("crd_2", "shop", 0)
}

// Many are written together, and what is written does not disturb changes.
func testSeenMany(t *testing.T, s *store.Store) {
	seenWorld(t, s)
	var all []store.Sighting
	const many = 230
	for part := range 10 {
		mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
			for n := range many / 10 {
				if err := tx.ClaimKey(ctx, "orders", "shop", fmt.Sprintf("U%d-%d", part, n)); err != nil {
					return err
				}
			}
			return nil
		})
		for n := range many / 10 {
			all = append(all, store.Sighting{Account: "AORDERS", User: fmt.Sprintf("U%d-%d", part, n), IssuedAt: 1, Time: time.Unix(1000, 0)})
		}
	}
	before := revision(t, s)
	if err := s.NoteSeen(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if writes := revision(t, s) - before - 1; writes > (many+49)/50 {
		t.Errorf("%d transactions for %d credentials", writes, many)
	}
	runs := 0
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		runs++
		c, err := tx.Credential(ctx, "orders", "till", "crd_3")
		c.Superseded = true
		return errors.Join(err, s.NoteSeen(ctx, []store.Sighting{{Account: "AORDERS", User: "UTILL", IssuedAt: 300, Time: time.Unix(int64(runs)*10_000, 0)}}), tx.PutCredential(c))
	})
	if runs != 1 {
		t.Errorf("the change ran %d times", runs)
	}
	// Several control planes hear of it at once: one of them is right.
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			_ = s.NoteSeen(t.Context(), []store.Sighting{{Account: "AORDERS", User: "UTILL", IssuedAt: 300, Time: time.Unix(100_000+int64(n), 0)}})
		})
	}
	wg.Wait()
	c, err := view(t, s, "acme").SeenCredential(t.Context(), "orders", "till", "crd_3")
	if err != nil || c.SeenTime.Unix() < 100_000 || !c.Superseded {
		t.Errorf("credential %+v, %v", c, err)
	}
}
