package fleet

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/coveymq/covey/internal/errs"
)

const (
	joinTokenPrefix = "coveyjoin_"
	// joinPartLen is the length of 32 bytes in unpadded base64url.
	joinPartLen = 43
)

var errJoinToken = errs.New(errs.Invalid, "JOIN_TOKEN_MALFORMED",
	"the join token is malformed").WithNext("copy the whole line that starts with %s", joinTokenPrefix)

// JoinToken lets the broker enrol. It names the fleet's CA, so that the broker
// knows whom it may give the secret part to. It prints itself redacted.
type JoinToken string

// Reveal returns the token's text.
func (t JoinToken) Reveal() string { return string(t) }

// String hides the secret.
func (JoinToken) String() string { return joinTokenPrefix + "[redacted]" }

// GoString hides the secret.
func (t JoinToken) GoString() string { return t.String() }

// LogValue hides the secret.
func (t JoinToken) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON hides the secret.
func (t JoinToken) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// pin returns the SHA-256 of the CA certificate that the token names.
func (t JoinToken) pin() (pin [sha256.Size]byte, err error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(string(t)), joinTokenPrefix)
	if !ok || len(rest) != 2*joinPartLen+1 || rest[joinPartLen] != '_' {
		return pin, errJoinToken
	}
	raw, err := base64.RawURLEncoding.DecodeString(rest[:joinPartLen])
	if err != nil || copy(pin[:], raw) != len(pin) {
		return pin, errJoinToken
	}
	return pin, nil
}
