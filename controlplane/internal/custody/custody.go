// Package custody keeps secrets at rest unreadable: it seals rows before they
// go to the store and opens them again.
//
// A sealed row has its own random 256-bit data key. The row is encrypted with
// AES-256-GCM under that key, with the row's name as associated data, so that
// a sealed text cannot be moved to another row. The data key is encrypted by
// the custodian: a local key file by default, or a key service.
//
// Layout of a sealed row, version 1:
//
//	byte 0     version, 1
//	bytes 1-2  length n of the wrapped data key, big endian
//	n bytes    data key, encrypted by the custodian
//	12 bytes   GCM nonce
//	rest       ciphertext and tag
//
// A Custody may be used from many goroutines.
package custody

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"gocloud.dev/secrets"

	"github.com/coveymq/covey/internal/errs"
)

const (
	sealVersion   = 1
	headerBytes   = 3  // version and length of the wrapped key
	dataKeyBytes  = 32 // AES-256
	wrappedKeyMax = 1 << 16
)

// Custody seals and opens rows.
type Custody struct{ keeper *secrets.Keeper }

// New returns a custody over a custodian, which Close closes.
func New(keeper *secrets.Keeper) *Custody { return &Custody{keeper: keeper} }

// Close releases the custodian.
func (c *Custody) Close() error {
	if err := c.keeper.Close(); err != nil {
		return fmt.Errorf("close key custodian: %w", err)
	}
	return nil
}

// Seal encrypts plain for the row of that name.
func (c *Custody) Seal(ctx context.Context, row string, plain []byte) ([]byte, error) {
	key := make([]byte, dataKeyBytes)
	_, _ = rand.Read(key) // never fails since Go 1.24
	defer clear(key)
	wrapped, err := c.keeper.Encrypt(ctx, key)
	if err != nil {
		return nil, custodianDown(err)
	}
	if len(wrapped) >= wrappedKeyMax {
		return nil, fmt.Errorf("wrapped data key of %d bytes is too long", len(wrapped))
	}
	gcm, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce)
	out := make([]byte, 0, headerBytes+len(wrapped)+len(nonce)+len(plain)+gcm.Overhead())
	out = append(out, sealVersion)
	out = binary.BigEndian.AppendUint16(out, uint16(len(wrapped))) //nolint:gosec // bounded above
	out = append(out, wrapped...)
	out = append(out, nonce...)
	return gcm.Seal(out, nonce, plain, []byte(row)), nil
}

// Unseal decrypts what Seal made for the row of that name.
func (c *Custody) Unseal(ctx context.Context, row string, sealed []byte) ([]byte, error) {
	if len(sealed) < headerBytes || sealed[0] != sealVersion {
		return nil, unreadable(row)
	}
	n := int(binary.BigEndian.Uint16(sealed[1:headerBytes]))
	rest := sealed[headerBytes:]
	if len(rest) < n {
		return nil, unreadable(row)
	}
	key, err := c.keeper.Decrypt(ctx, rest[:n])
	if err != nil {
		if ctx.Err() != nil {
			return nil, custodianDown(err)
		}
		return nil, unreadable(row).WithCause(err)
	}
	defer clear(key)
	gcm, err := newGCM(key)
	if err != nil {
		return nil, unreadable(row).WithCause(err)
	}
	rest = rest[n:]
	if len(rest) < gcm.NonceSize() {
		return nil, unreadable(row)
	}
	plain, err := gcm.Open(nil, rest[:gcm.NonceSize()], rest[gcm.NonceSize():], []byte(row))
	if err != nil {
		return nil, unreadable(row).WithCause(err)
	}
	return plain, nil
}

// Reseal opens what is sealed for one row and seals it for another.
func (c *Custody) Reseal(ctx context.Context, from, to string, sealed []byte) ([]byte, error) {
	plain, err := c.Unseal(ctx, from, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return c.Seal(ctx, to, plain)
}

// Row returns the custody of one row alone.
func (c *Custody) Row(name string) *Row { return &Row{custody: c, name: name} }

// Row seals and opens one row.
type Row struct {
	custody *Custody
	name    string
}

// Encrypt seals plain.
func (r *Row) Encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	return r.custody.Seal(ctx, r.name, plain)
}

// Decrypt opens what Encrypt sealed.
func (r *Row) Decrypt(ctx context.Context, sealed []byte) ([]byte, error) {
	return r.custody.Unseal(ctx, r.name, sealed)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return gcm, nil
}

func unreadable(row string) *errs.Error {
	return errs.New(errs.Precondition, "SECRET_UNREADABLE", "the secret %q cannot be decrypted", row).
		WithNext("the key custodian must be the one that sealed it: restore its key")
}

func custodianDown(cause error) error {
	return errs.New(errs.Unavailable, "CUSTODIAN_UNAVAILABLE", "the key custodian does not answer").WithCause(cause)
}
