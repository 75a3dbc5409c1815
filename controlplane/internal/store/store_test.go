package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/store/storetest"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) {
	testetcd.Main()
	testleak.Main(m)
}

func open(t *testing.T) (*store.Store, *storetest.KV) {
	t.Helper()
	client := testetcd.New(t)
	kv := &storetest.KV{KV: client}
	return store.New(kv, client, slog.New(slog.DiscardHandler)), kv
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { s, _ := open(t); return s })
}

// Every first transaction of a change fails; the contract holds all the same.
func TestConformanceUnderFaults(t *testing.T) {
	for name, faults := range map[string][]storetest.Fault{
		"not applied":            {storetest.NotApplied},
		"applied":                {storetest.Applied},
		"not applied, three":     {storetest.NotApplied, storetest.NotApplied, storetest.NotApplied},
		"not applied, then done": {storetest.NotApplied, storetest.Applied},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) *store.Store {
				s, kv := open(t)
				kv.Fail(faults...)
				return s
			})
		})
	}
}

func update(ctx context.Context, s *store.Store, org, secret string) (string, store.Result, error) {
	c := store.Change{Scope: store.Everything(), Organization: org, Actor: "key_test", Method: "Test", RequestID: "r"}
	tries := 0
	return store.Update(ctx, s, c, func(ctx context.Context, tx *store.Tx) (string, store.Outcome, error) {
		tries++
		made := fmt.Sprint(secret, tries)
		return made, store.Outcome{Secret: true}, tx.CreateOrg(ctx, store.Organization{ID: org, DisplayName: made})
	})
}

// A secret that is handed out must be the one in force, whichever try won.
func TestTheSecretIsThatOfTheTryInForce(t *testing.T) {
	for name, faults := range map[string][]storetest.Fault{
		"no fault":               nil,
		"not applied":            {storetest.NotApplied},
		"applied":                {storetest.Applied},
		"not applied, then done": {storetest.NotApplied, storetest.Applied},
	} {
		t.Run(name, func(t *testing.T) {
			s, kv := open(t)
			kv.Fail(faults...)
			got, result, err := update(t.Context(), s, "acme", "try ")
			if err != nil || result.Replayed {
				t.Fatalf("update: %+v, %v", result, err)
			}
			v, err := s.View(store.Everything(), "acme")
			if err != nil {
				t.Fatal(err)
			}
			o, err := v.Org(t.Context())
			if err != nil || o.DisplayName != got || o.Revision != result.Revision {
				t.Errorf("caller has %q at %d, in force is %q at %d, %v", got, result.Revision, o.DisplayName, o.Revision, err)
			}
		})
	}
}

func TestAnOutcomeThatStaysOpenIsNamedAndSettledByTheRequestID(t *testing.T) {
	s, kv := open(t)
	faults := make([]storetest.Fault, 100)
	for i := range faults {
		faults[i] = storetest.NotApplied
	}
	kv.Fail(faults...)
	_, _, err := update(t.Context(), s, "acme", "a")
	var e *errs.Error
	if !errors.As(err, &e) || e.Reason != "UNKNOWN_OUTCOME" || e.Code != errs.Unavailable {
		t.Fatalf("error %v", err)
	}
	kv.Fail()
	if _, r, err := update(t.Context(), s, "acme", "b"); err != nil || r.Replayed {
		t.Errorf("repeat: %+v, %v", r, err)
	}
	if _, r, err := update(t.Context(), s, "acme", "c"); err != nil || !r.Replayed || !r.Outcome.Secret {
		t.Errorf("replay: %+v, %v", r, err)
	}
}

func TestACallerThatHangsUpDoesNotLeaveTheOutcomeOpen(t *testing.T) {
	s, kv := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	kv.Before(cancel)
	if _, r, err := update(ctx, s, "acme", "a"); err != nil || r.Revision == 0 {
		t.Errorf("update: %+v, %v", r, err)
	}
}

// Two control planes on one etcd: what one reads, the other changes before the
// first commits.
func TestConflictsBetweenProcessesAreTriedAgain(t *testing.T) {
	client := testetcd.New(t)
	kv := &storetest.KV{KV: client}
	log := slog.New(slog.DiscardHandler)
	ours, theirs := store.New(kv, client, log), store.New(client, client, log)
	bump := func(s *store.Store) error {
		c := store.Change{Scope: store.Everything(), Organization: "acme", Actor: "key_test", Method: "Test"}
		_, _, err := store.Update(t.Context(), s, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
			r, err := tx.Revocations(ctx, "a")
			if err != nil {
				return struct{}{}, store.Outcome{}, err
			}
			creds, err := tx.AllCredentials(ctx, "a", "u")
			if err != nil {
				return struct{}{}, store.Outcome{}, err
			}
			r.CutOff++
			id := fmt.Sprintf("crd_%d", len(creds))
			return struct{}{}, store.Outcome{}, errors.Join(tx.PutRevocations("a", r), tx.PutCredential(store.Credential{ID: id, Account: "a", User: "u"}))
		})
		return err
	}
	for range 3 {
		kv.Before(func() {
			if err := bump(theirs); err != nil {
				t.Error(err)
			}
		})
		if err := bump(ours); err != nil {
			t.Fatal(err)
		}
	}
	v, err := ours.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Revocations(t.Context(), "a")
	if err != nil || r.CutOff != 6 {
		t.Errorf("%d of 6 changes counted, %v", r.CutOff, err)
	}
	if creds, err := v.AllCredentials(t.Context(), "a", "u"); err != nil || len(creds) != 6 {
		t.Errorf("%d of 6 credentials, %v", len(creds), err)
	}
}
