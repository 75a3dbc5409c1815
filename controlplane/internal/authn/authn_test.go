package authn_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
		if err != nil || p != (authn.Principal{KeyID: id, Organization: "acme", Role: "owner"}) {
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
		if p, err := authn.Authenticate(t.Context(), known, header, now); errs.CodeOf(err) != errs.Unauthenticated || p.Role != "" {
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
