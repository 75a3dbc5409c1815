package custody_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/internal/errs"
)

const vaultToken = "s.a-token-of-vault"

// vault answers as Vault's transit engine does: encrypt and decrypt of named keys
// that it makes on first use.
type vault struct {
	*httptest.Server
	sealed atomic.Bool // answers 503 to everything, as a sealed Vault
	keys   map[string]cipher.AEAD
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{keys: make(map[string]cipher.AEAD)}
	v.Server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	t.Setenv("VAULT_ADDR", v.URL)
	t.Setenv("VAULT_TOKEN", vaultToken)
	return v
}

func (v *vault) serve(w http.ResponseWriter, r *http.Request) {
	refuse := func(code int, text string) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string][]string{"errors": {text}})
	}
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	var body struct{ Plaintext, Ciphertext string }
	switch {
	case v.sealed.Load():
		refuse(http.StatusServiceUnavailable, "Vault is sealed")
		return
	case r.Header.Get("X-Vault-Token") != vaultToken:
		refuse(http.StatusForbidden, "permission denied")
		return
	case r.Method != http.MethodPut || len(path) != 2 || json.NewDecoder(r.Body).Decode(&body) != nil:
		refuse(http.StatusNotFound, "")
		return
	}
	data, ok := v.transit(path[0], path[1], body.Plaintext, body.Ciphertext)
	if !ok {
		refuse(http.StatusBadRequest, "cipher: message authentication failed")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

func (v *vault) transit(verb, name, plaintext, ciphertext string) (map[string]any, bool) {
	key := v.keys[name]
	if key == nil {
		secret := make([]byte, 32)
		_, _ = rand.Read(secret)
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, false
		}
		if key, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, false
		}
		v.keys[name] = key
	}
	if verb == "encrypt" {
		plain, err := base64.StdEncoding.DecodeString(plaintext)
		return map[string]any{"ciphertext": "vault:v1:" + base64.StdEncoding.EncodeToString(key.Seal(nil, nil, plain, nil)), "key_version": 1}, err == nil
	}
	text, ok := strings.CutPrefix(ciphertext, "vault:v1:")
	sealed, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return nil, false
	}
	plain, err := key.Open(nil, nil, sealed, nil)
	return map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}, err == nil
}

func remote(t *testing.T, address string) *custody.Custody {
	t.Helper()
	k, err := custody.OpenRemote(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return custody.New(k)
}

func TestVaultSealsAndSaysWhenItCannot(t *testing.T) {
	v := newVault(t)
	c := remote(t, "hashivault://covey")
	plain := []byte("a seed that nobody may see")
	sealed, err := c.Seal(t.Context(), "a", plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Unseal(t.Context(), "a", sealed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Unseal = %q, %v", got, err)
	}
	if _, err := c.Unseal(t.Context(), "b", sealed); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("a row opens under another name: %v", err)
	}
	if _, err := remote(t, "hashivault://other").Unseal(t.Context(), "a", sealed); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("another key: %v", err)
	}
	v.sealed.Store(true)
	if _, err := c.Unseal(t.Context(), "a", sealed); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("a Vault that is sealed: %v", err)
	}
	if _, err := c.Seal(t.Context(), "a", plain); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("a Vault that is sealed: %v", err)
	}
	if strings.Contains(err2text(c.Seal(t.Context(), "a", plain)), vaultToken) {
		t.Error("the token shows in the error")
	}
}

func err2text(_ []byte, err error) string { return err.Error() }

func TestAFormerCustodianOpensUntilTheRowIsRenewed(t *testing.T) {
	newVault(t)
	path := filepath.Join(t.TempDir(), "key")
	old := local(t, path, true)
	plain := []byte("a seed that nobody may see")
	sealed, err := old.Seal(t.Context(), "a", plain)
	if err != nil {
		t.Fatal(err)
	}
	alone := remote(t, "hashivault://covey")
	if _, err := alone.Unseal(t.Context(), "a", sealed); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("opened by a custodian that did not seal it: %v", err)
	}
	former, err := custody.OpenLocal(path, false)
	if err != nil {
		t.Fatal(err)
	}
	present, err := custody.OpenRemote(t.Context(), "hashivault://covey")
	if err != nil {
		t.Fatal(err)
	}
	both := custody.New(present, former)
	if got, err := both.Unseal(t.Context(), "a", sealed); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("Unseal = %q, %v", got, err)
	}
	again, renewed, err := both.Row("a").Renew(t.Context(), sealed)
	if err != nil || !renewed {
		t.Fatalf("renewed %v, %v", renewed, err)
	}
	if got, err := alone.Unseal(t.Context(), "a", again); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Unseal = %q, %v", got, err)
	}
	if same, renewed, err := both.Renew(t.Context(), "a", again); err != nil || renewed || !bytes.Equal(same, again) {
		t.Errorf("renewed twice: %v, %v", renewed, err)
	}
	if _, _, err := both.Renew(t.Context(), "b", sealed); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("a row is renewed under another name: %v", err)
	}
}

func TestCustodiansThatCannotBe(t *testing.T) {
	t.Setenv("VAULT_ADDR", "")
	t.Setenv("VAULT_TOKEN", "")
	for _, address := range []string{"", "remote", "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=", "hashivault://u:p@k", "hashivault://covey", "://"} {
		if _, err := custody.OpenRemote(t.Context(), address); errs.CodeOf(err) != errs.Invalid || strings.Contains(err.Error(), "smGb") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
