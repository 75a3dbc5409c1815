// Package authn tells who is calling: it makes, reads and checks API keys. It
// decides nothing about what they may do.
package authn

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/coveymq/covey/accounts"
)

const (
	tokenPrefix  = "covey_" //nolint:gosec // the public part
	secretBytes  = 32       // 256 bits: guessing is hopeless, so a plain hash is enough
	secretLength = 43       // those bytes in base64url without padding
	redacted     = "[redacted]"
)

// Token is the secret text of an API key or an invitation:
// covey_<id>_<secret>. It redacts itself wherever it is printed, logged or marshalled.
type Token struct{ text string }

// NewToken makes the text of a new API key, with the key's id and the hash
// that is all a store ever sees of the secret.
func NewToken(now time.Time) (token Token, id string, hash []byte) {
	return newToken(accounts.PrefixAPIKey, now)
}

// NewInvitation makes the text of a new invitation, like NewToken.
func NewInvitation(now time.Time) (token Token, id string, hash []byte) {
	return newToken(accounts.PrefixInvitation, now)
}

func newToken(prefix accounts.Prefix, now time.Time) (token Token, id string, hash []byte) {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails since Go 1.24
	id = accounts.NewUID(prefix, now)
	text := base64.RawURLEncoding.EncodeToString(secret)
	return Token{text: tokenPrefix + id + "_" + text}, id, hashSecret(text)
}

// ParseInvitation splits the text of an invitation into its id and the hash of
// its secret.
func ParseInvitation(text string) (id string, hash []byte, ok bool) {
	return parseToken(accounts.PrefixInvitation, text)
}

// parseToken splits the text of an API key or an invitation. The secret may
// hold underscores, so its fixed length decides where it begins.
func parseToken(prefix accounts.Prefix, text string) (id string, hash []byte, ok bool) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(rest) <= secretLength+1 {
		return "", nil, false
	}
	at := len(rest) - secretLength
	id = rest[:at-1]
	if rest[at-1] != '_' || accounts.ParseUID(prefix, id) != nil {
		return "", nil, false
	}
	return id, hashSecret(rest[at:]), true
}

func hashSecret(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// Reveal returns the secret text. The caller must neither log nor keep it.
func (t Token) Reveal() string { return t.text }

// IsZero reports whether there is no key.
func (t Token) IsZero() bool { return t.text == "" }

// String redacts.
func (Token) String() string { return redacted }

// GoString redacts.
func (Token) GoString() string { return redacted }

// Format redacts, whatever the verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts.
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON redacts.
func (Token) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }
