package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/audit"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// Run holds a store to its contract. Open returns a store over an empty etcd.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	for name, test := range map[string]func(*testing.T, *store.Store){
		"round trip":              testRoundTrip,
		"exists and not found":    testExistsAndNotFound,
		"scope":                   testScope,
		"account ends whole":      testAccountEnds,
		"concurrent changes":      testConcurrent,
		"request ids":             testRequestIDs,
		"dry run":                 testDryRun,
		"operations newest first": testOperations,
		"audit chain":             testAuditChain,
		"pages":                   testPages,
		"service accounts":        testServiceAccounts,
		"ledgers":                 testLedgers,
		"ledgers at once":         testLedgerRace,
		"members":                 testMembers,
		"plans":                   testPlans,
		"alerts":                  testAlerts,
		"credentials seen":        testSeen,
		"many credentials seen":   testSeenMany,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func change(org, request string) store.Change {
	return store.Change{Scope: store.Everything(), Organization: org, Actor: "key_test", Method: "Test", Target: "organizations/" + org, RequestID: request}
}

// apply makes a change that returns nothing but its result.
func apply(t *testing.T, s *store.Store, c store.Change, f func(ctx context.Context, tx *store.Tx) error) (store.Result, error) {
	t.Helper()
	_, r, err := store.Update(t.Context(), s, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		return struct{}{}, store.Outcome{Response: []byte("kept")}, f(ctx, tx)
	})
	return r, err
}

func mustApply(t *testing.T, s *store.Store, c store.Change, f func(ctx context.Context, tx *store.Tx) error) store.Result {
	t.Helper()
	r, err := apply(t, s, c, f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func createOrg(ctx context.Context, tx *store.Tx) error {
	return tx.CreateOrg(ctx, store.Organization{ID: tx.Organization(), UID: "org_" + tx.Organization()})
}

func view(t *testing.T, s *store.Store, org string) *store.View {
	t.Helper()
	v, err := s.View(store.Tenant(org), org)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func testRoundTrip(t *testing.T, s *store.Store) {
	five := int64(5)
	account := store.Account{ID: "orders", PublicKey: "AKEY", Limits: accounts.Limits{Connections: &five}, CreateTime: time.Unix(7, 0).UTC()}
	user := store.User{ID: "shop", Account: "orders", Permissions: &accounts.Permissions{Publish: accounts.Rules{Allow: []string{"a.>"}}}}
	r := mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		tx.PutClaims("AKEY", "claims")
		return errors.Join(createOrg(ctx, tx), tx.CreateAccount(ctx, account), tx.CreateUser(ctx, user),
			tx.PutRole("orders", store.Role{Name: "default", Keys: []store.SigningKey{{PublicKey: "K", State: store.KeyActive}}}), tx.PutRevocations("orders", store.Revocations{Revocations: accounts.Revocations{CutOff: 9}}))
	})
	v := view(t, s, "acme")
	gotAccount, err := v.Account(t.Context(), "orders")
	if err != nil || *gotAccount.Limits.Connections != 5 || gotAccount.Revision != r.Revision || gotAccount.ClaimsRevision != r.Revision || !gotAccount.CreateTime.Equal(account.CreateTime) {
		t.Errorf("account %+v, %v; revision %d", gotAccount, err, r.Revision)
	}
	gotUser, err := v.User(t.Context(), "orders", "shop")
	if err != nil || gotUser.Permissions.Publish.Allow[0] != "a.>" {
		t.Errorf("user %+v, %v", gotUser, err)
	}
	roles, err := v.Roles(t.Context(), "orders")
	if err != nil || len(roles) != 1 || roles[0].Keys[0].PublicKey != "K" {
		t.Errorf("roles %+v, %v", roles, err)
	}
	revocations, err := v.Revocations(t.Context(), "orders")
	if err != nil || revocations.CutOff != 9 {
		t.Errorf("revocations %+v, %v", revocations, err)
	}
	if text, revision, err := s.Claims(t.Context(), "AKEY"); err != nil || text != "claims" || revision != r.Revision {
		t.Errorf("claims %q at %d, %v", text, revision, err)
	}
	if ref, err := s.AccountByKey(t.Context(), "AKEY"); err != nil || ref.Organization != "acme" || ref.Account != "orders" {
		t.Errorf("AccountByKey %+v, %v", ref, err)
	}
}

func testExistsAndNotFound(t *testing.T, s *store.Store) {
	mustApply(t, s, change("acme", ""), createOrg)
	if _, err := apply(t, s, change("acme", ""), createOrg); !errors.Is(err, store.ErrExists) {
		t.Errorf("second create: %v", err)
	}
	v := view(t, s, "acme")
	for name, read := range map[string]func() error{
		"account":    func() error { _, err := v.Account(t.Context(), "x"); return err },
		"user":       func() error { _, err := v.User(t.Context(), "x", "y"); return err },
		"credential": func() error { _, err := v.Credential(t.Context(), "x", "y", "crd_z"); return err },
		"operation":  func() error { _, err := v.Operation(t.Context(), "opn_x"); return err },
		"key":        func() error { _, err := s.APIKey(t.Context(), "key_x"); return err },
		"claims":     func() error { _, _, err := s.Claims(t.Context(), "A"); return err },
		"other org":  func() error { _, err := view(t, s, "nobody").Org(t.Context()); return err },
	} {
		if err := read(); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("absent %s: %v", name, err)
		}
	}
}

func testScope(t *testing.T, s *store.Store) {
	for _, org := range []string{"acme", "globex"} {
		mustApply(t, s, change(org, ""), createOrg)
	}
	if _, err := s.View(store.Tenant("acme"), "globex"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("foreign view: %v", err)
	}
	for _, scope := range []store.Scope{store.Tenant("acme"), store.Tenant(""), {}} {
		c := change("globex", "")
		c.Scope = scope
		ran := false
		if _, err := apply(t, s, c, func(context.Context, *store.Tx) error { ran = true; return nil }); !errors.Is(err, store.ErrNotFound) || ran {
			t.Errorf("foreign change in scope %+v: %v, ran %v", scope, err, ran)
		}
	}
	list, _, err := s.Organizations(t.Context(), store.Tenant("acme"), store.Page{Size: 10})
	if err != nil || len(list) != 1 || list[0].ID != "acme" {
		t.Errorf("tenant lists %+v, %v", list, err)
	}
	list, _, err = s.Organizations(t.Context(), store.Everything(), store.Page{Size: 10})
	if err != nil || len(list) != 2 {
		t.Errorf("operator lists %+v, %v", list, err)
	}
	// The system's own chain and records are no organization's.
	if _, err := s.View(store.Tenant(""), ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("view of the installation by nobody: %v", err)
	}
}

func testAccountEnds(t *testing.T, s *store.Store) {
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		err := createOrg(ctx, tx)
		for _, id := range []string{"a", "ab"} { // one id is a prefix of the other
			tx.PutClaims("K"+id, "claims")
			err = errors.Join(err, tx.CreateAccount(ctx, store.Account{ID: id, PublicKey: "K" + id}), tx.PutRole(id, store.Role{Name: "default"}),
				tx.CreateUser(ctx, store.User{ID: "u", Account: id}), tx.ClaimKey(ctx, id, "u", "U"),
				tx.PutCredential(store.Credential{ID: "crd_1", Account: id, User: "u"}))
		}
		return err
	})
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.Account(ctx, "a")
		return errors.Join(err, tx.DeleteAccount(a, tx.Now))
	})
	v := view(t, s, "acme")
	if _, err := v.User(t.Context(), "a", "u"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("user of a deleted account: %v", err)
	}
	if _, _, err := s.Claims(t.Context(), "Ka"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("claims of a deleted account: %v", err)
	}
	if list, _, err := v.Credentials(t.Context(), "a", "u", store.Page{Size: 5}); err != nil || len(list) != 0 {
		t.Errorf("credentials of a deleted account: %v, %v", list, err)
	}
	if _, err := v.User(t.Context(), "ab", "u"); err != nil {
		t.Errorf("user of the other account: %v", err)
	}
	if gone, err := v.DeletedAccounts(t.Context()); err != nil || len(gone) != 1 || gone[0].PublicKey != "Ka" {
		t.Errorf("deleted accounts: %+v, %v", gone, err)
	}
	if ref, err := s.AccountByKey(t.Context(), "Ka"); err != nil || ref.DeleteTime.IsZero() {
		t.Errorf("the key of a deleted account: %+v, %v", ref, err)
	}
}

func testConcurrent(t *testing.T, s *store.Store) {
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(createOrg(ctx, tx), tx.CreateAccount(ctx, store.Account{ID: "a", PublicKey: "K"}))
	})
	const each, writers = 10, 4
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				_, _, err := store.Update(t.Context(), s, change("acme", ""), func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
					a, err := tx.Account(ctx, "a")
					if err != nil {
						return struct{}{}, store.Outcome{}, err
					}
					a.CredentialTTLSeconds++
					return struct{}{}, store.Outcome{}, tx.PutAccount(a)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if a, err := view(t, s, "acme").Account(t.Context(), "a"); err != nil || a.CredentialTTLSeconds != each*writers {
		t.Errorf("%d of %d changes are there, %v", a.CredentialTTLSeconds, each*writers, err)
	}
}

func testRequestIDs(t *testing.T, s *store.Store) {
	c := change("acme", "one")
	c.Fingerprint = []byte("f")
	first := mustApply(t, s, c, createOrg)
	again := mustApply(t, s, c, func(context.Context, *store.Tx) error { t.Error("a replay runs the change"); return nil })
	if !again.Replayed || again.Revision != first.Revision || string(again.Outcome.Response) != "kept" {
		t.Errorf("replay %+v, first %+v", again, first)
	}
	for name, spoil := range map[string]func(*store.Change){
		"another body":         func(c *store.Change) { c.Fingerprint = []byte("g") },
		"another method":       func(c *store.Change) { c.Method = "Other" },
		"another organization": func(c *store.Change) { c.Organization, c.Fingerprint = "globex", []byte("h") },
	} {
		other := c
		spoil(&other)
		if _, err := apply(t, s, other, createOrg); !errors.Is(err, store.ErrRequestReused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Actor, c.Organization = "key_other", "initech"
	if r := mustApply(t, s, c, createOrg); r.Replayed {
		t.Error("another caller's request id is taken for ours")
	}
}

func testDryRun(t *testing.T, s *store.Store) {
	c := change("acme", "dry")
	c.DryRun = true
	if r := mustApply(t, s, c, createOrg); r.Revision != 0 {
		t.Errorf("dry run %+v", r)
	}
	if _, err := view(t, s, "acme").Org(t.Context()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after a dry run: %v", err)
	}
	c.DryRun = false
	if r := mustApply(t, s, c, createOrg); r.Replayed {
		t.Error("a dry run uses up its request id")
	}
}

func testOperations(t *testing.T, s *store.Store) {
	mustApply(t, s, change("acme", ""), createOrg)
	var ids []string
	for range 3 {
		r := mustApply(t, s, change("acme", ""), func(_ context.Context, tx *store.Tx) error {
			o, err := tx.BeginOperation("M", "t")
			ids = append(ids, o.ID)
			return err
		})
		o, err := view(t, s, "acme").Operation(t.Context(), ids[len(ids)-1])
		if err != nil || o.Revision != r.Revision {
			t.Errorf("operation %+v, %v; revision %d", o, err, r.Revision)
		}
	}
	list, next, err := view(t, s, "acme").Operations(t.Context(), store.Page{Size: 2})
	if err != nil || len(list) != 2 || list[0].ID != ids[2] || list[1].ID != ids[1] {
		t.Fatalf("operations %+v, %v; made %v", list, err, ids)
	}
	list, _, err = view(t, s, "acme").Operations(t.Context(), store.Page{Size: 2, After: next})
	if err != nil || len(list) != 1 || list[0].ID != ids[0] {
		t.Errorf("second page %+v, %v", list, err)
	}
	if err := s.ForgetOperations(t.Context(), "acme", time.Now()); err != nil {
		t.Fatal(err)
	}
	if list, _, err = view(t, s, "acme").Operations(t.Context(), store.Page{Size: 9}); err != nil || len(list) != 3 {
		t.Errorf("fresh operations are forgotten: %+v, %v", list, err)
	}
	if err := s.ForgetOperations(t.Context(), "acme", time.Now().Add(store.OperationsKept+time.Minute)); err != nil {
		t.Fatal(err)
	}
	if list, _, err = view(t, s, "acme").Operations(t.Context(), store.Page{Size: 9}); err != nil || len(list) != 0 {
		t.Errorf("old operations stay: %+v, %v", list, err)
	}
}

func testAuditChain(t *testing.T, s *store.Store) {
	mustApply(t, s, change("acme", ""), createOrg)
	for i := range 5 {
		c := change("acme", fmt.Sprint("r", i))
		mustApply(t, s, c, func(_ context.Context, tx *store.Tx) error {
			return tx.PutAccount(store.Account{ID: "a", PublicKey: "K"})
		})
		mustApply(t, s, c, func(context.Context, *store.Tx) error { return nil }) // a replay leaves no entry
	}
	head, entries, err := view(t, s, "acme").Audit(t.Context())
	if err != nil || len(entries) != 6 {
		t.Fatalf("%d audit entries, %v", len(entries), err)
	}
	if end, err := (audit.Head{}).Verify(entries); err != nil || end != head {
		t.Errorf("the log ends at %+v, %v; the head says %+v", end, err, head)
	}
	// The ledger takes some, and the chain goes on.
	pending, err := s.PendingAudits(t.Context(), 4)
	if err != nil || len(pending) != 4 || pending[3].Organization != "acme" || !reflect.DeepEqual(pending[3].Entry, entries[3]) {
		t.Fatalf("pending %+v, %v", pending, err)
	}
	for range 2 {
		if err := s.DropAudits(t.Context(), pending); err != nil {
			t.Fatal(err)
		}
	}
	mustApply(t, s, change("acme", ""), func(_ context.Context, tx *store.Tx) error { return tx.PutAccount(store.Account{ID: "a"}) })
	head, rest, err := view(t, s, "acme").Audit(t.Context())
	if err != nil || len(rest) != 3 || head.Sequence != 7 {
		t.Fatalf("%d entries left, %+v, %v", len(rest), head, err)
	}
	if end, err := (audit.Head{}).Verify(append(entries[:4:4], rest...)); err != nil || end != head {
		t.Errorf("the log ends at %+v, %v; the head says %+v", end, err, head)
	}
}

func testPages(t *testing.T, s *store.Store) {
	var want []string
	mustApply(t, s, change("acme", ""), func(ctx context.Context, tx *store.Tx) error {
		want = nil
		err := createOrg(ctx, tx)
		for i := range 25 {
			id := fmt.Sprintf("u%02d", i)
			want = append(want, id)
			err = errors.Join(err, tx.CreateUser(ctx, store.User{ID: id, Account: "a"}))
		}
		return err
	})
	for _, size := range []int32{1, 7, 25, 100} {
		var got []string
		token := ""
		for {
			p, err := store.ParsePage(size, token)
			if err != nil {
				t.Fatal(err)
			}
			list, next, err := view(t, s, "acme").Users(t.Context(), "a", p)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range list {
				got = append(got, u.ID)
			}
			if token = store.Token(next); token == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v", size, got)
		}
	}
	for _, token := range []string{"!", "Ly8v", "AA"} { // not base64; "///"; a zero byte
		if _, err := store.ParsePage(1, token); err == nil {
			t.Errorf("page token %q is accepted", token)
		}
	}
}
