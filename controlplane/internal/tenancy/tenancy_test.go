package tenancy_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/store/storetest"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

// world is one organization, acme, as sign-up makes it.
type world struct {
	client  *clientv3.Client
	kv      *storetest.KV // fails as planned
	store   *store.Store
	service *tenancy.Service
	custody *custody.Custody
}

func newWorld(t *testing.T) *world {
	t.Helper()
	client := testetcd.New(t)
	log := slog.New(slog.DiscardHandler)
	w := &world{client: client, kv: &storetest.KV{KV: client}}
	w.store = store.New(w.kv, client, log)
	keeper, err := custody.OpenLocal(filepath.Join(t.TempDir(), "key"), true)
	if err != nil {
		t.Fatal(err)
	}
	c := custody.New(keeper)
	root, err := tenancy.Bootstrap(t.Context(), w.store, c)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := tenancy.Bootstrap(t.Context(), w.store, c); err != nil || !again.FirstKey.IsZero() || again.Installation.ID != root.Installation.ID {
		t.Fatalf("second bootstrap: %+v, %v", again.Installation, err)
	}
	w.service, w.custody = tenancy.New(c, root.Signer, log), c
	_, err = apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.SignedUp, error) {
		return w.service.SignUp(ctx, tx, "SignUp", tenancy.NewOrganization{ID: "acme"})
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func apply[T any](t *testing.T, w *world, f func(ctx context.Context, tx *store.Tx) (T, error)) (T, error) {
	t.Helper()
	c := store.Change{Scope: store.Everything(), Organization: "acme", Actor: "key_test", Method: "Test"}
	v, _, err := store.Update(t.Context(), w.store, c, func(ctx context.Context, tx *store.Tx) (T, store.Outcome, error) {
		v, err := f(ctx, tx)
		return v, store.Outcome{}, err
	})
	return v, err
}

func (w *world) issue(t *testing.T, publicKey string) (tenancy.Issued, error) {
	t.Helper()
	return apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.Issued, error) {
		return w.service.IssueCredential(ctx, tx, "default", "default", tenancy.NewCredential{PublicKey: publicKey})
	})
}

func (w *world) revoke(t *testing.T, id string) {
	t.Helper()
	if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.CredentialChange, error) {
		return w.service.RevokeCredential(ctx, tx, "Revoke", "default", "default", id, "")
	}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) revocations(t *testing.T) accounts.Revocations {
	t.Helper()
	v, err := w.store.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Revocations(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return r.Revocations
}

// Whatever its history, a user's records stay few, and the user can be ended
// in one transaction that refuses all that was issued.
func TestCredentialsOfAUserStayBounded(t *testing.T) {
	w := newWorld(t)
	var issued []tenancy.Issued
	for range 60 {
		one, err := w.issue(t, "")
		if err != nil {
			t.Fatal(err)
		}
		issued = append(issued, one)
		w.revoke(t, one.Credential.ID)
	}
	refused := false
	for range 60 {
		one, err := w.issue(t, "")
		if errors.Is(err, errs.New(errs.Exhausted, "CREDENTIAL_QUOTA", "")) {
			refused = true
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		issued = append(issued, one)
	}
	if !refused {
		t.Error("live credentials have no bound")
	}
	v, err := w.store.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := v.AllCredentials(t.Context(), "default", "default"); err != nil || len(all) > 80 {
		t.Errorf("%d records are kept, %v", len(all), err)
	}
	if _, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (*store.Operation, error) {
		return w.service.DeleteUser(ctx, tx, "DeleteUser", "default", "default", "")
	}); err != nil {
		t.Fatalf("delete a user with many credentials: %v", err)
	}
	r := w.revocations(t)
	for _, one := range issued {
		if !r.Revoked(one.Credential.PublicKey, one.Credential.IssueTime.Unix()) {
			t.Fatalf("credential %s is good after the end of its user", one.Credential.ID)
		}
	}
}

func TestRevokingOneCredentialOfAKeyRefusesItsSiblings(t *testing.T) {
	w := newWorld(t)
	seed, err := accounts.NewUserKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := seed.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	first, err := w.issue(t, public)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.issue(t, public)
	if err != nil {
		t.Fatal(err)
	}
	w.revoke(t, first.Credential.ID)
	if !w.revocations(t).Revoked(public, second.Credential.IssueTime.Unix()) {
		t.Error("the second credential of the revoked key is good")
	}
	// Within the second of the revocation nothing that is issued would work.
	if at := w.revocations(t).At(public); at == 0 {
		t.Errorf("the key is refused up to %d", at)
	}
}
