package controlplane

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"

	"github.com/coveymq/covey/internal/errs"
)

const redacted = "[redacted]"

// Secret is a password, or a URL that holds one. It prints as a placeholder.
type Secret struct{ text string }

// NewSecret wraps a secret.
func NewSecret(text string) Secret { return Secret{text: text} }

// ReadSecret reads a secret from a file that only its owner can read, without
// the line's end.
func ReadSecret(path string) (Secret, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Secret{}, fmt.Errorf("read secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Secret{}, errs.New(errs.Precondition, "SECRET_EXPOSED", "others can read the file %s", path).WithNext("chmod 600 %s", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, fmt.Errorf("read secret: %w", err)
	}
	text = bytes.TrimRight(text, "\r\n")
	if len(text) == 0 || bytes.ContainsAny(text, "\r\n") {
		return Secret{}, errs.New(errs.Invalid, "SECRET_MALFORMED", "the file %s does not hold one line", path)
	}
	return Secret{text: string(text)}, nil
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == "" }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return s.text }

// String returns a placeholder.
func (s Secret) String() string { return redacted }

// GoString returns a placeholder.
func (s Secret) GoString() string { return redacted }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns a placeholder.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
