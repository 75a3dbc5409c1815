package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/testetcd"
)

func TestWhatIsPackedComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := `{"v":4,"id":"` + rapid.StringN(0, 2000, 4000).Draw(t, "text") + `"}`
		packed, err := store.Pack(store.Root+"org/acme/account/a", text)
		if err != nil || len(packed) > len(text) {
			t.Fatalf("pack: %d bytes became %d, %v", len(text), len(packed), err)
		}
		if back, err := store.Unpack([]byte(packed)); err != nil || string(back) != text {
			t.Fatalf("unpack: %q, %v", back, err)
		}
		// What is damaged is an error or something else, never a panic.
		bad := []byte(packed)
		bad[rapid.IntRange(0, len(bad)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		_, _ = store.Unpack(bad)
		_, _ = store.Unpack(bad[:rapid.IntRange(0, len(bad)).Draw(t, "cut")])
	})
}

// Stores hold records that were packed with this dictionary: a program with
// another text under its number could not read them.
func TestTheDictionaryStaysAsItIs(t *testing.T) {
	const (
		sum    = "f666fbf639c2a44ec1e3837b8e1b0afd5d1c6e89aa090820f393165d201fa21e"
		packed = "28b52ffd21019935020024033064703637756c7461373276676c616c35746e6534753861636d656f726465727331312d32335430353a33333a30365a227d0500d34b15526223014a9c4e242e1c0f0304"
		text   = `{"v":4,"id":"opn_06h0dp67ulta72vglal5tne4u8","method":"CreateAccount","target":"organizations/acme/accounts/orders","create_time":"2026-11-23T05:33:06Z"}`
	)
	if got := sha256.Sum256(store.Dictionary()); hex.EncodeToString(got[:]) != sum {
		t.Errorf("the dictionary has changed: it hashes to %x. Give the new one a number of its own and keep the old one", got)
	}
	value, err := hex.DecodeString(packed)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.Unpack(value); err != nil || string(got) != text {
		t.Errorf("unpacked %q, %v", got, err)
	}
}

func TestWhatEveryVersionReadsIsNotPacked(t *testing.T) {
	text := `{"v":4,"version":4,"more":"` + strings.Repeat("a", 500) + `"}`
	if got, err := store.Pack(schemaKey, text); err != nil || got != text {
		t.Errorf("packed to %q, %v", got, err)
	}
}

// Records from before there was packing are read, and packed when they change.
func TestRecordsArePackedAsTheyChange(t *testing.T) {
	etcd := testetcd.New(t)
	s := prepare(t, etcd, etcd)
	const key = "/covey/v1/org/acme/account/orders"
	put(t, etcd, key, `{"v":3,"id":"orders","display_name":"Orders of the shop","create_time":"2026-01-01T00:00:00Z","update_time":"2026-01-01T00:00:00Z"}`)
	v, err := s.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	a, err := v.Account(t.Context(), "orders")
	if err != nil || a.DisplayName != "Orders of the shop" {
		t.Fatalf("account %+v, %v", a, err)
	}
	if err := rename(s, strings.Repeat("a longer name ", 5)); err != nil {
		t.Fatal(err)
	}
	got, err := etcd.Get(t.Context(), key)
	if err != nil || len(got.Kvs) != 1 || bytes.HasPrefix(got.Kvs[0].Value, []byte("{")) {
		t.Errorf("stored %q, %v", got.Kvs, err)
	}
}

// A request whose id nobody chose is remembered for minutes, and only that it
// was made; one whose id its caller chose, for a day, with its answer.
func TestRequestsAreRememberedForThoseWhoCanComeBack(t *testing.T) {
	etcd := testetcd.New(t)
	s := prepare(t, etcd, etcd)
	answer := store.Outcome{Response: []byte(strings.Repeat("what the caller was told ", 20))}
	for _, c := range []struct {
		id          string
		ttl         time.Duration
		least, most int // bytes
	}{{"", 15 * time.Minute, 1, 100}, {"chosen", 25 * time.Hour, 100, 1000}} {
		change := store.Change{Scope: store.Everything(), Organization: "acme", Actor: "key_" + c.id, Method: "Test", RequestID: c.id}
		_, _, err := store.Update(t.Context(), s, change, func(_ context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
			return struct{}{}, answer, tx.PutAccount(store.Account{ID: "orders"})
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := etcd.Get(t.Context(), fmt.Sprintf("/covey/v1/req/key_%s/", c.id), clientv3.WithPrefix())
		if err != nil || len(got.Kvs) != 1 {
			t.Fatalf("records of the request: %v, %v", got.Kvs, err)
		}
		if n := len(got.Kvs[0].Value); n < c.least || n > c.most {
			t.Errorf("id %q: %d bytes are kept", c.id, n)
		}
		lease, err := etcd.TimeToLive(t.Context(), clientv3.LeaseID(got.Kvs[0].Lease))
		if err != nil || time.Duration(lease.GrantedTTL)*time.Second != c.ttl {
			t.Errorf("id %q: kept for %d s, %v", c.id, lease.GrantedTTL, err)
		}
	}
}
