package accounts

import (
	"bytes"
	"fmt"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/internal/errs"
)

// FormatCreds returns the text of a credentials file: the user JWT and its
// seed, as every NATS client reads it. The result is as secret as the seed.
func FormatCreds(userJWT string, seed Seed) (string, error) {
	text, err := jwt.FormatUserConfig(userJWT, seed.Reveal())
	if err != nil {
		return "", fmt.Errorf("format credentials: %w", err)
	}
	return string(text), nil
}

// ParseCreds splits a credentials file into its JWT and its seed.
func ParseCreds(text []byte) (string, Seed, error) {
	userJWT, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		return "", Seed{}, badCreds(err)
	}
	pair, err := jwt.ParseDecoratedUserNKey(text)
	if err != nil {
		return "", Seed{}, badCreds(err)
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return "", Seed{}, badCreds(err)
	}
	return userJWT, Seed{text: bytes.Clone(seed)}, nil
}

func badCreds(cause error) error {
	return errs.New(errs.Invalid, "INVALID_CREDS_FILE", "this is not a credentials file").
		WithNext("a credentials file holds a user JWT and an nkey seed").WithCause(cause)
}
