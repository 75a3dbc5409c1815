// Package vaulttest is the part of Vault's transit engine that custody uses, for
// tests: https://developer.hashicorp.com/vault/api-docs/secret/transit.
package vaulttest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Token is what it asks for.
const Token = "s.a-token-of-vault"

// Vault answers as Vault's transit engine does: it encrypts and decrypts with named
// keys that it makes on first use, which have versions.
type Vault struct {
	*httptest.Server
	sealed, denied atomic.Bool

	mu      sync.Mutex
	keys    map[string]*key // guarded by mu
	entered [][]byte        // guarded by mu: everything that it was given to encrypt
}

// key is a named key.
type key struct {
	versions []cipher.AEAD // version 1 first
	least    int           // that decrypts still
}

// New starts one for a test, and puts it into the environment.
func New(t *testing.T) *Vault {
	t.Helper()
	v := &Vault{keys: make(map[string]*key)}
	v.Server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	t.Setenv("VAULT_ADDR", v.URL)
	t.Setenv("VAULT_TOKEN", Token)
	return v
}

// Seal makes it answer as a Vault that is sealed: 503 to everything.
func (v *Vault) Seal() { v.sealed.Store(true) }

// Deny makes it answer as if the token had been revoked, or had no right.
func (v *Vault) Deny(on bool) { v.denied.Store(on) }

// Rotate adds a version to a key, as `vault write -f transit/keys/NAME/rotate` does.
// With least, older ones than that decrypt no more, as with
// min_decryption_version; 0 leaves them.
func (v *Vault) Rotate(name string, least int) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.keys[name]
	if k == nil {
		k = &key{least: 1}
		v.keys[name] = k
	}
	k.least = max(k.least, least)
	return k.rotate()
}

// Entered returns everything that it was given to encrypt.
func (v *Vault) Entered() [][]byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.entered)
}

func (k *key) rotate() error {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	block, err := aes.NewCipher(secret)
	if err != nil {
		return err
	}
	next, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	k.versions = append(k.versions, next)
	return nil
}

func (v *Vault) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
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
	case r.Header.Get("X-Vault-Token") != Token || v.denied.Load():
		refuse(http.StatusForbidden, "permission denied")
		return
	case r.Method != http.MethodPut && r.Method != http.MethodPost || len(path) != 2:
		refuse(http.StatusNotFound, "no handler for route")
		return
	case json.NewDecoder(r.Body).Decode(&body) != nil:
		refuse(http.StatusBadRequest, "error parsing JSON")
		return
	}
	data, problem := v.transit(path[0], path[1], body.Plaintext, body.Ciphertext)
	if problem != "" {
		refuse(http.StatusBadRequest, problem)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

func (v *Vault) transit(verb, name, plaintext, ciphertext string) (data map[string]any, problem string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.keys[name]
	switch {
	case verb == "encrypt":
		if k == nil {
			k = &key{least: 1}
			if k.rotate() != nil {
				return nil, "internal error"
			}
			v.keys[name] = k
		}
		return v.encrypt(k, plaintext)
	case verb != "decrypt":
		return nil, "unsupported path"
	case k == nil:
		return nil, "encryption key not found"
	}
	return k.decrypt(ciphertext)
}

func (v *Vault) encrypt(k *key, plaintext string) (data map[string]any, problem string) {
	plain, err := base64.StdEncoding.DecodeString(plaintext)
	if err != nil {
		return nil, "failed to base64-decode plaintext"
	}
	v.entered = append(v.entered, plain)
	version := len(k.versions)
	sealed := k.versions[version-1].Seal(nil, nil, plain, nil)
	return map[string]any{"ciphertext": fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(sealed)), "key_version": version}, ""
}

func (k *key) decrypt(ciphertext string) (data map[string]any, problem string) {
	parts := strings.SplitN(ciphertext, ":", 3)
	if len(parts) != 3 || parts[0] != "vault" || !strings.HasPrefix(parts[1], "v") {
		return nil, "invalid ciphertext: no prefix"
	}
	version, err := strconv.Atoi(parts[1][1:])
	if err != nil || version < 1 || version > len(k.versions) {
		return nil, "invalid ciphertext: version is too new"
	}
	if version < k.least {
		return nil, "ciphertext or signature version is disallowed by policy (too old)"
	}
	sealed, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, "invalid ciphertext: could not decode base64"
	}
	plain, err := k.versions[version-1].Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, "cipher: message authentication failed"
	}
	return map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}, ""
}
