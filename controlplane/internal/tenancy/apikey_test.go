package tenancy_test

import (
	"context"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/store/storetest"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

var firstHolder = store.Holder{ServiceAccount: tenancy.FirstServiceAccount}

// Whatever a transaction's answer was, the key that is handed out is the one
// that is kept, and there is one more of it, not two.
func TestAKeyHandedOutIsTheOneThatIsKept(t *testing.T) {
	for name, faults := range map[string][]storetest.Fault{
		"no fault":                 nil,
		"not applied":              {storetest.NotApplied},
		"applied":                  {storetest.Applied},
		"not applied, applied":     {storetest.NotApplied, storetest.Applied},
		"applied, and again asked": {storetest.Applied, storetest.NotApplied},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.kv.Fail(faults...)
			made, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.MadeKey, error) {
				return w.service.CreateKey(ctx, tx, tenancy.Caller{Owner: true}, firstHolder, tenancy.NewKey{})
			})
			w.kv.Fail()
			if err != nil {
				t.Fatal(err)
			}
			p, err := authn.Authenticate(t.Context(), w.store, "Bearer "+made.Token.Reveal(), time.Now())
			if err != nil || p.ServiceAccount != tenancy.FirstServiceAccount || p.Roles() != "owner" {
				t.Errorf("the key handed out is %+v, %v", p, err)
			}
			v, err := w.store.View(store.Everything(), "acme")
			if err != nil {
				t.Fatal(err)
			}
			if keys, err := v.Keys(t.Context(), firstHolder); err != nil || len(keys) != 2 {
				t.Errorf("%d keys are kept, %v", len(keys), err)
			}
		})
	}
}

// Expired keys make room for new ones: a service account that rotates for years
// keeps few records.
func TestKeysOfAServiceAccountStayBounded(t *testing.T) {
	w := newWorld(t)
	for range 12 {
		made, err := apply(t, w, func(ctx context.Context, tx *store.Tx) (tenancy.MadeKey, error) {
			return w.service.CreateKey(ctx, tx, tenancy.Caller{Owner: true}, firstHolder, tenancy.NewKey{})
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = apply(t, w, func(_ context.Context, tx *store.Tx) (struct{}, error) {
			made.Key.ExpireTime = tx.Now // as if its time had come
			return struct{}{}, tx.PutAPIKey(made.Key)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	v, err := w.store.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := v.Keys(t.Context(), firstHolder)
	if err != nil || len(keys) > 7 {
		t.Errorf("%d keys are kept, %v", len(keys), err)
	}
	for _, k := range keys {
		if !tenancy.KeyExpired(k, time.Now()) {
			return // the owner's first key
		}
	}
	t.Error("a key that has not expired was forgotten")
}
