package account_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// However many ask, an account is looked up once at a time.
func TestOneLookupForAll(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	w.source.Put(acct.Key, acct.Token())
	asked, answer := make(chan struct{}), make(chan struct{})
	w.source.Before = func(string) error { close(asked); <-answer; return nil }
	var wg sync.WaitGroup
	got := make([]*account.Account, 20)
	for i := range got {
		wg.Go(func() { got[i], _ = w.registry.Get(t.Context(), acct.Key) })
	}
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.registry.Get(ctx, acct.Key); !errors.Is(err, account.ErrUnavailable) {
		t.Errorf("who cannot wait gets %v", err)
	}
	close(answer)
	wg.Wait()
	for _, a := range got {
		if a == nil || a != got[0] {
			t.Fatal("not everybody got the same account")
		}
	}
	if w.source.Lookups() != 1 || !w.source.Held(acct.Key) {
		t.Errorf("%d lookups", w.source.Lookups())
	}
}

func TestLookupErrorsAreNotKept(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	w.source.Put(acct.Key, acct.Token())
	w.source.Before = func(string) error { return fmt.Errorf("%w: away", account.ErrUnavailable) }
	if _, err := w.registry.Get(t.Context(), acct.Key); !errors.Is(err, account.ErrUnavailable) {
		t.Errorf("Get = %v", err)
	}
	w.source.Before = nil
	w.get(t, acct.Key)
	unknown := w.Account("b")
	if _, err := w.registry.Get(t.Context(), unknown.Key); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("Get = %v", err)
	}
	w.source.Put(unknown.Key, unknown.Token())
	w.get(t, unknown.Key)
}

func TestPanickingLookupEndsForAll(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	w.source.Put(acct.Key, acct.Token())
	w.source.Before = func(string) error { panic("fault") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the fault was swallowed")
			}
		}()
		_, _ = w.registry.Get(t.Context(), acct.Key)
	}()
	w.source.Before = nil
	w.get(t, acct.Key)
}

// Whoever joins beside evictions is in the account that is loaded, and the
// source goes on sending its changes.
func TestEvictionBesideJoins(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	w.source.Put(acct.Key, acct.Token())
	now := time.Now().Unix()
	var done atomic.Bool
	var evictor, joiners sync.WaitGroup
	evictor.Go(func() {
		for !done.Load() {
			w.registry.Evict(time.Now().Add(time.Hour), time.Minute)
		}
	})
	for range 3 {
		joiners.Go(func() {
			for range 300 {
				a, err := w.registry.Get(t.Context(), acct.Key)
				if err != nil {
					t.Errorf("Get = %v", err)
					return
				}
				m := &member{id: &account.Identity{Account: a, State: a.State(), Issuer: acct.Key, User: "U", IssuedAt: now}}
				switch err := a.Join(m); {
				case errors.Is(err, account.ErrRetired):
					continue
				case err != nil:
					t.Errorf("Join = %v", err)
					return
				}
				// The source may still be about to be told of a load just done.
				if again, err := w.registry.Get(t.Context(), acct.Key); err != nil || again != a {
					t.Errorf("a member is in an account that is not the loaded one: %v", err)
				}
				a.Leave(m)
			}
		})
	}
	joiners.Wait()
	done.Store(true)
	evictor.Wait()
	a := w.get(t, acct.Key)
	join(t, a, acct.Key, "U", now, 0)
	if !w.source.Held(acct.Key) {
		t.Error("an account with members is not held: its changes would not come")
	}
	w.registry.Evict(time.Now().Add(time.Hour), time.Minute)
	if w.registry.Len() != 1 {
		t.Error("an account with members was evicted")
	}
}

// What the broker itself uses stays without members; what is gone already cannot
// be kept.
func TestPinnedAccountsStay(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	w.source.Put(acct.Key, acct.Token())
	evict := func() { w.registry.Evict(time.Now().Add(time.Hour), time.Minute) }
	old := w.get(t, acct.Key)
	evict()
	if old.Pin() {
		t.Error("an account that was evicted can be pinned")
	}
	a := w.get(t, acct.Key)
	if !a.Pin() {
		t.Fatal("cannot be pinned")
	}
	evict()
	if w.registry.Loaded(acct.Key) != a {
		t.Error("a pinned account was evicted")
	}
}
