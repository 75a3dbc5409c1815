// Package vaulttest is the part of Vault's transit engine that custody uses, for
// tests: https://developer.hashicorp.com/vault/api-docs/secret/transit.
package vaulttest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Token is what it asks for.
const Token = "s.a-token-of-vault"

// Vault answers as Vault's transit engine does: encrypt and decrypt of named keys
// that it makes on first use.
type Vault struct {
	*httptest.Server
	sealed atomic.Bool

	mu   sync.Mutex
	keys map[string]cipher.AEAD // guarded by mu
}

// New starts one for a test, and puts it into the environment.
func New(t *testing.T) *Vault {
	t.Helper()
	v := &Vault{keys: make(map[string]cipher.AEAD)}
	v.Server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	t.Setenv("VAULT_ADDR", v.URL)
	t.Setenv("VAULT_TOKEN", Token)
	return v
}

// Seal makes it answer as a Vault that is sealed: 503 to everything.
func (v *Vault) Seal() { v.sealed.Store(true) }

func (v *Vault) serve(w http.ResponseWriter, r *http.Request) {
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
	case r.Header.Get("X-Vault-Token") != Token:
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

func (v *Vault) transit(verb, name, plaintext, ciphertext string) (map[string]any, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
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
