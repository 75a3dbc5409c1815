package authn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

type keys map[string]store.APIKey

func (k keys) APIKey(_ context.Context, id string) (store.APIKey, error) {
	if key, ok := k[id]; ok {
		return key, nil
	}
	return store.APIKey{}, store.ErrNotFound
}

type brokenKeys struct{}

func (keys) BearerOf(_ context.Context, k store.APIKey) (store.Bearer, error) {
	bearer, there := map[store.Holder]store.Bearer{
		{ServiceAccount: "ci"}:   {Bindings: []store.RoleBinding{{Role: "admin", Account: "orders"}}},
		{ServiceAccount: "away"}: {Disabled: true, Bindings: []store.RoleBinding{{Role: "owner"}}},
		{Member: "ci"}:           {Bindings: []store.RoleBinding{{Role: "read-only"}}},
	}[k.Holder()]
	if !there {
		return store.Bearer{}, store.ErrNotFound
	}
	return bearer, nil
}

func (brokenKeys) BearerOf(context.Context, store.APIKey) (store.Bearer, error) {
	return store.Bearer{}, errs.New(errs.Unavailable, "STORE_UNAVAILABLE", "down")
}

func (brokenKeys) APIKey(context.Context, string) (store.APIKey, error) {
	return store.APIKey{}, errs.New(errs.Unavailable, "STORE_UNAVAILABLE", "down")
}

func TestAuthenticate(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	known := keys{}
	// Many keys: secrets with underscores and hyphens must parse too.
	for range 200 {
		token, id, hash := authn.NewToken(now)
		known[id] = store.APIKey{ID: id, Hash: hash, Organization: "acme", Role: "owner", ExpireTime: now.Add(time.Hour)}
		p, err := authn.Authenticate(t.Context(), known, "Bearer "+token.Reveal(), now)
		if err != nil || p.KeyID != id || p.Organization != "acme" || p.Roles() != "owner" {
			t.Fatalf("Authenticate(%q) = %+v, %v", token.Reveal(), p, err)
		}
	}
	token, id, hash := authn.NewToken(now)
	text := token.Reveal()
	known[id] = store.APIKey{ID: id, Hash: hash, Role: "operator", ExpireTime: now.Add(time.Hour)}
	stranger, _, _ := authn.NewToken(now)
	for name, header := range map[string]string{
		"nothing":       "",
		"no scheme":     text,
		"basic":         "Basic " + text,
		"cut":           "Bearer " + text[:len(text)-1],
		"longer":        "Bearer " + text + "A",
		"another end":   "Bearer " + text[:len(text)-2] + strings.Map(func(r rune) rune { return 'A' + 'B' - min(max(r, 'A'), 'B') }, text[len(text)-2:]),
		"stranger":      "Bearer " + stranger.Reveal(),
		"prefix only":   "Bearer covey_",
		"secret of one": "Bearer covey_" + id + "_" + stranger.Reveal()[len(text)-43:],
	} {
		if p, err := authn.Authenticate(t.Context(), known, header, now); errs.CodeOf(err) != errs.Unauthenticated || len(p.Bindings) != 0 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, err := authn.Authenticate(t.Context(), known, "Bearer "+text, now.Add(time.Hour)); errs.CodeOf(err) != errs.Unauthenticated {
		t.Errorf("an expired key: %v", err)
	}
	// What cannot be looked up is not refused as wrong.
	if _, err := authn.Authenticate(t.Context(), brokenKeys{}, "Bearer "+text, now); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("with the store down: %v", err)
	}
}

func TestAServiceAccountSaysWhatItsKeysMayDo(t *testing.T) {
	now := time.Now()
	token, id, hash := authn.NewToken(now)
	key := store.APIKey{ID: id, Hash: hash, Organization: "acme", ServiceAccount: "ci", Role: "owner", ExpireTime: now.Add(time.Hour)}
	p, err := authn.Authenticate(t.Context(), keys{id: key}, "Bearer "+token.Reveal(), now)
	if err != nil || len(p.Bindings) != 1 || p.Bindings[0] != (store.RoleBinding{Role: "admin", Account: "orders"}) || p.ServiceAccount != "ci" {
		t.Errorf("principal %+v, %v", p, err)
	}
	for name, spoil := range map[string]func(*store.APIKey){
		"disabled key":             func(k *store.APIKey) { k.Disabled = true },
		"disabled service account": func(k *store.APIKey) { k.ServiceAccount = "away" },
		"absent service account":   func(k *store.APIKey) { k.ServiceAccount = "gone" },
	} {
		spoiled := key
		spoil(&spoiled)
		if p, err := authn.Authenticate(t.Context(), keys{id: spoiled}, "Bearer "+token.Reveal(), now); errs.CodeOf(err) != errs.Unauthenticated || len(p.Bindings) != 0 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func TestAMemberIsNotTheServiceAccountOfItsName(t *testing.T) {
	now := time.Now()
	token, id, hash := authn.NewToken(now)
	key := store.APIKey{ID: id, Hash: hash, Organization: "acme", Member: "ci", ExpireTime: now.Add(time.Hour)}
	p, err := authn.Authenticate(t.Context(), keys{id: key}, "Bearer "+token.Reveal(), now)
	if err != nil || p.Roles() != "read-only" || p.Member != "ci" || p.ServiceAccount != "" {
		t.Errorf("principal %+v, %v", p, err)
	}
}

func TestAnInvitationIsNoKey(t *testing.T) {
	now := time.Now()
	token, id, hash := authn.NewInvitation(now)
	if got, sum, ok := authn.ParseInvitation(token.Reveal()); !ok || got != id || !bytes.Equal(sum, hash) {
		t.Errorf("invitation reads as %q %v", got, ok)
	}
	known := keys{id: store.APIKey{ID: id, Hash: hash, Role: "operator"}}
	if _, err := authn.Authenticate(t.Context(), known, "Bearer "+token.Reveal(), now); errs.CodeOf(err) != errs.Unauthenticated {
		t.Errorf("an invitation as a key: %v", err)
	}
	key, _, _ := authn.NewToken(now)
	if _, _, ok := authn.ParseInvitation(key.Reveal()); ok {
		t.Error("a key reads as an invitation")
	}
}

func TestUsesAreWrittenOnceInAWhile(t *testing.T) {
	type use struct {
		key string
		at  time.Time
	}
	written := make(chan use)
	fail := make(chan error, 1)
	uses := authn.NewUses(func(_ context.Context, key string, at time.Time) error {
		written <- use{key, at}
		select {
		case err := <-fail:
			return err
		default:
			return nil
		}
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = uses.Run(ctx) })
	now := time.Now()
	uses.Note("a", now)
	if got := <-written; got != (use{"a", now}) {
		t.Errorf("wrote %+v", got)
	}
	uses.Note("a", now.Add(time.Minute)) // too soon
	fail <- errors.New("store down")
	uses.Note("b", now)
	if got := <-written; got.key != "b" {
		t.Errorf("wrote %+v, want b only", got)
	}
	later := now.Add(6 * time.Minute)
	uses.Note("a", later)
	if got := <-written; got != (use{"a", later}) {
		t.Errorf("wrote %+v", got)
	}
	uses.Note("b", now.Add(time.Second)) // the first could not be written
	if got := <-written; got.key != "b" {
		t.Errorf("wrote %+v, want b again", got)
	}
	cancel()
	wg.Wait()
}

func TestCallersCannotTellWhatIsWrongWithAKey(t *testing.T) {
	now := time.Now()
	token, id, hash := authn.NewToken(now)
	other, _, _ := authn.NewToken(now)
	text := token.Reveal()
	var said []string
	for _, c := range []struct {
		keys   keys
		header string
		at     time.Time
	}{
		{keys{}, text, now},
		{keys{id: {ID: id, Hash: hash, ExpireTime: now}}, text, now.Add(time.Second)},
		{keys{id: {ID: id, Hash: hash}}, text[:len(text)-43] + other.Reveal()[len(text)-43:], now},
	} {
		_, err := authn.Authenticate(t.Context(), c.keys, "Bearer "+c.header, c.at)
		var e *errs.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		said = append(said, e.Reason+e.Public())
	}
	if said[0] != said[1] || said[1] != said[2] {
		t.Errorf("answers differ: %q", said)
	}
}

func TestTokenNeverShows(t *testing.T) {
	token, _, _ := authn.NewToken(time.Now())
	asJSON, err := json.Marshal(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		string(asJSON), fmt.Sprint(token), fmt.Sprintf("%#v %+v %x %d", token, token, token, token),
		fmt.Sprintf("%v", struct{ T authn.Token }{token}), token.LogValue().String(),
	} {
		if strings.Contains(shown, token.Reveal()[10:30]) || strings.Contains(shown, fmt.Sprintf("%x", token.Reveal())[:20]) {
			t.Errorf("the token shows in %s", shown)
		}
	}
}
