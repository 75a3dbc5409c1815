package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/coveymq/covey/dataplane/internal/effort"
)

// Secret is a password or token from a configuration. It prints itself
// redacted.
type Secret string

const redacted = "[redacted]"

// String hides the secret.
func (Secret) String() string { return redacted }

// GoString hides the secret.
func (Secret) GoString() string { return redacted }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the secret.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// hashed reports whether the secret is a bcrypt hash of the real one.
func (s Secret) hashed() bool {
	for _, p := range [...]string{"$2a$", "$2b$", "$2x$", "$2y$"} {
		if strings.HasPrefix(string(s), p) {
			return true
		}
	}
	return false
}

// matches reports whether a client showed the secret, in a time that does not
// depend on how much of it is right.
func (s Secret) matches(shown string) bool {
	if s.hashed() {
		var err error
		effort.Passwords.Do(func() { err = bcrypt.CompareHashAndPassword([]byte(s), []byte(shown)) })
		return err == nil
	}
	want, got := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(shown))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
