package store_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane/internal/audit"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/store/storetest"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/testetcd"
)

const schemaKey = "/covey/v1/sys/schema"

// resealed notes for which row a secret was sealed last.
func resealed(_ context.Context, from, to string, sealed []byte) ([]byte, error) {
	if !strings.HasPrefix(to, from+"/") {
		return nil, errors.New("sealed for another role")
	}
	return append([]byte(to+"|"), sealed...), nil
}

func reason(err error) string {
	var e *errs.Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Reason
}

func prepare(t *testing.T, kv clientv3.KV, etcd *clientv3.Client) *store.Store {
	t.Helper()
	s := store.New(kv, etcd, slog.New(slog.DiscardHandler))
	if err := s.Prepare(t.Context(), resealed); err != nil {
		t.Fatal(err)
	}
	return s
}

func rename(s *store.Store, name string) error {
	c := store.Change{Scope: store.Everything(), Organization: "acme", Actor: "key_test", Method: "Test"}
	_, _, err := store.Update(context.Background(), s, c, func(_ context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		return struct{}{}, store.Outcome{}, tx.PutAccount(store.Account{ID: "orders", DisplayName: name})
	})
	return err
}

func TestConformanceOfAPreparedStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store {
		etcd := testetcd.New(t)
		return prepare(t, etcd, etcd)
	})
}

func TestAControlPlaneLosesTheRightToWriteToANewerOne(t *testing.T) {
	etcd := testetcd.New(t)
	s := prepare(t, etcd, etcd)
	if err := rename(s, "a"); err != nil {
		t.Fatal(err)
	}
	// The same version written again, as another start may, is no reason.
	put(t, etcd, schemaKey, `{"v":7,"version":7}`)
	if err := rename(s, "b"); err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{`{"v":7,"version":7,"target":8}`: "STORE_NEWER", `{"v":8,"version":8}`: "STORE_NEWER", `{"v":7,"version":1}`: "STORE_REPLACED"} {
		put(t, etcd, schemaKey, what)
		if err := rename(s, "c"); reason(err) != want {
			t.Errorf("write under %s: %v", what, err)
		}
	}
	if _, err := etcd.Delete(t.Context(), schemaKey); err != nil {
		t.Fatal(err)
	}
	if err := rename(s, "d"); reason(err) != "STORE_REPLACED" {
		t.Errorf("write to another store: %v", err)
	}
	v, err := s.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if a, err := v.Account(t.Context(), "orders"); err != nil || a.DisplayName != "b" {
		t.Errorf("account %+v, %v", a, err)
	}
}

func TestARecordOfANewerVersionIsRefused(t *testing.T) {
	etcd := testetcd.New(t)
	s := prepare(t, etcd, etcd)
	put(t, etcd, "/covey/v1/org/acme/account/orders", `{"v":8,"id":"orders"}`)
	v, err := s.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Account(t.Context(), "orders"); reason(err) != "STORE_NEWER" {
		t.Errorf("read: %v", err)
	}
}

func put(t *testing.T, etcd *clientv3.Client, key, value string) {
	t.Helper()
	if _, err := etcd.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

// firstVersion loads a store from before there were versions.
func firstVersion(t *testing.T, etcd *clientv3.Client) {
	t.Helper()
	f, err := os.Open("../../testdata/store-v1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var pair [2]string
		if err := json.Unmarshal(lines.Bytes(), &pair); err != nil {
			t.Fatal(err)
		}
		put(t, etcd, pair[0], pair[1])
	}
}

func checkMigrated(t *testing.T, s *store.Store) {
	t.Helper()
	for _, org := range []string{"acme", "globex"} {
		v, err := s.View(store.Everything(), org)
		if err != nil {
			t.Fatal(err)
		}
		accounts, _, err := v.Accounts(t.Context(), store.Page{Size: 9})
		if err != nil || len(accounts) == 0 {
			t.Fatalf("accounts of %s: %v, %v", org, accounts, err)
		}
		for _, a := range accounts {
			r, err := v.Role(t.Context(), a.ID, "default")
			if err != nil || len(r.Keys) != 1 || r.Keys[0].State != store.KeyActive {
				t.Fatalf("role of %s/%s: %+v, %v", org, a.ID, r, err)
			}
			row := "account/" + a.PublicKey + "/role/default/" + r.Keys[0].PublicKey + "|"
			if sealed := string(r.Keys[0].SealedSeed); !strings.HasPrefix(sealed, row) || strings.Count(sealed, row) != 1 {
				t.Errorf("the key of %s/%s is sealed %q", org, a.ID, sealed[:min(len(sealed), 200)])
			}
		}
		head, entries, err := v.Audit(t.Context())
		if end, verr := (audit.Head{}).Verify(entries); err != nil || verr != nil || end != head || len(entries) == 0 {
			t.Errorf("audit log of %s: %d entries to %+v, head %+v, %v, %v", org, len(entries), end, head, err, verr)
		}
		keys, err := v.Keys(t.Context(), store.Holder{ServiceAccount: "owner"})
		if err != nil || len(keys) != 1 || keys[0].ServiceAccount != "owner" || keys[0].Role != "" {
			t.Errorf("keys of %s: %+v, %v", org, keys, err)
		}
	}
}

// A migration that is cut off at any of its transactions is finished by the
// next start.
func TestAMigrationMayBeCutOffAnywhere(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.Applied} {
		for n, over := 0, false; !over && !t.Failed(); n++ {
			t.Run(fmt.Sprintf("%v at %d", fault, n), func(t *testing.T) { // each leaves no etcd behind
				etcd := testetcd.New(t)
				firstVersion(t, etcd)
				kv := &storetest.KV{KV: etcd}
				plan := make([]storetest.Fault, n, n+1)
				for i := range plan {
					plan[i] = storetest.None
				}
				kv.Fail(append(plan, fault)...)
				broken := store.New(kv, etcd, slog.New(slog.DiscardHandler)).Prepare(t.Context(), resealed)
				kv.Fail()
				checkMigrated(t, prepare(t, etcd, etcd))
				over = broken == nil && n > 5
			})
		}
	}
}

// What one control plane migrates, another may as well.
func TestTwoMigrateAtOnce(t *testing.T) {
	etcd := testetcd.New(t)
	firstVersion(t, etcd)
	kv := &storetest.KV{KV: etcd}
	kv.Before(func() { prepare(t, etcd, etcd) })
	checkMigrated(t, prepare(t, kv, etcd))
}
