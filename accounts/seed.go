package accounts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/internal/errs"
)

const redacted = "[redacted]"

// Seed is the secret half of an nkey. Whatever prints, logs or marshals it
// shows a redaction; only Reveal gives the text away.
type Seed struct{ text []byte }

// ParseSeed checks and wraps the text of an nkey seed.
func ParseSeed(text []byte) (Seed, error) {
	if _, _, err := nkeys.DecodeSeed(text); err != nil {
		return Seed{}, errs.New(errs.Invalid, "INVALID_SEED", "this is not an nkey seed").WithCause(err)
	}
	return Seed{text: append([]byte(nil), text...)}, nil
}

// NewOperatorKey makes an operator key pair.
func NewOperatorKey() (Seed, error) { return newSeed(nkeys.CreateOperator) }

// NewAccountKey makes an account key pair; signing keys of accounts are of the
// same kind.
func NewAccountKey() (Seed, error) { return newSeed(nkeys.CreateAccount) }

// NewUserKey makes a user key pair.
func NewUserKey() (Seed, error) { return newSeed(nkeys.CreateUser) }

func newSeed(create func() (nkeys.KeyPair, error)) (Seed, error) {
	pair, err := create()
	if err != nil {
		return Seed{}, fmt.Errorf("make nkey: %w", err)
	}
	defer pair.Wipe()
	text, err := pair.Seed()
	if err != nil {
		return Seed{}, fmt.Errorf("read nkey seed: %w", err)
	}
	return Seed{text: bytes.Clone(text)}, nil // Wipe clears the pair's own
}

// Reveal returns the secret text. The caller must neither log nor keep it.
func (s Seed) Reveal() []byte { return s.text }

// PublicKey returns the public half.
func (s Seed) PublicKey() (string, error) {
	pair, err := nkeys.FromSeed(s.text)
	if err != nil {
		return "", fmt.Errorf("read nkey seed: %w", err)
	}
	defer pair.Wipe()
	public, err := pair.PublicKey()
	if err != nil {
		return "", fmt.Errorf("derive public nkey: %w", err)
	}
	return public, nil
}

// Signer returns a signer that holds this seed.
func (s Seed) Signer() (Signer, error) {
	pair, err := nkeys.FromSeed(s.text)
	if err != nil {
		return nil, fmt.Errorf("read nkey seed: %w", err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("derive public nkey: %w", err)
	}
	return &seedSigner{public: public, pair: pair}, nil
}

// String redacts.
func (Seed) String() string { return redacted }

// GoString redacts.
func (Seed) GoString() string { return redacted }

// Format redacts, whatever the verb.
func (Seed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts.
func (Seed) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON redacts.
func (Seed) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// Signer signs claims without showing its key: a seed in memory, or a key
// service elsewhere.
type Signer interface {
	// PublicKey returns the public nkey of the signing key.
	PublicKey() string
	// Sign returns the Ed25519 signature of data.
	Sign(data []byte) ([]byte, error)
}

type seedSigner struct {
	public string
	pair   nkeys.KeyPair
}

// PublicKey implements Signer.
func (s *seedSigner) PublicKey() string { return s.public }

// Sign implements Signer.
func (s *seedSigner) Sign(data []byte) ([]byte, error) { return s.pair.Sign(data) }

// String shows the public key only.
func (s *seedSigner) String() string { return "signer " + s.public }

// ValidateUserKey checks a public user nkey that a caller brings.
func ValidateUserKey(field, public string) error {
	if nkeys.IsValidPublicUserKey(public) {
		return nil
	}
	return errs.New(errs.Invalid, "INVALID_PUBLIC_KEY", "%q is not a public user nkey", public).
		WithField(field).WithNext("a public user nkey is 56 characters and begins with U")
}

// IsAccountKey reports whether public is the public nkey of an account.
func IsAccountKey(public string) bool { return nkeys.IsValidPublicAccountKey(public) }
