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
	"errors"
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
type Custody struct {
	keeper *secrets.Keeper   // seals, and opens what it sealed
	former []*secrets.Keeper // open what was sealed before
}

// New returns a custody over a custodian and those that it follows. Close closes
// all of them.
func New(keeper *secrets.Keeper, former ...*secrets.Keeper) *Custody {
	return &Custody{keeper: keeper, former: former}
}

// Close releases the custodians.
func (c *Custody) Close() error {
	var failed error
	for _, k := range append([]*secrets.Keeper{c.keeper}, c.former...) {
		if err := k.Close(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("close key custodian: %w", err))
		}
	}
	return failed
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
	wrapped, rest, ok := split(sealed)
	if !ok {
		return nil, unreadable(row)
	}
	key, err := c.dataKey(ctx, row, wrapped)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	gcm, err := newGCM(key)
	if err != nil {
		return nil, unreadable(row).WithCause(err)
	}
	if len(rest) < gcm.NonceSize() {
		return nil, unreadable(row)
	}
	plain, err := gcm.Open(nil, rest[:gcm.NonceSize()], rest[gcm.NonceSize():], []byte(row))
	if err != nil {
		return nil, unreadable(row).WithCause(err)
	}
	return plain, nil
}

// split takes a sealed row apart: the wrapped data key, and what it encrypts.
func split(sealed []byte) (wrapped, rest []byte, ok bool) {
	if len(sealed) < headerBytes || sealed[0] != sealVersion {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(sealed[1:headerBytes]))
	rest = sealed[headerBytes:]
	if len(rest) < n {
		return nil, nil, false
	}
	return rest[:n], rest[n:], true
}

// dataKey lets the custodians unwrap a data key, the present one first.
func (c *Custody) dataKey(ctx context.Context, row string, wrapped []byte) ([]byte, error) {
	key, err := c.keeper.Decrypt(ctx, wrapped)
	for _, k := range c.former {
		if err == nil {
			break
		}
		var other error
		if key, other = k.Decrypt(ctx, wrapped); other == nil {
			err = nil
		} else {
			err = errors.Join(err, other)
		}
	}
	if err != nil {
		return nil, c.whyNot(ctx, row, err)
	}
	return key, nil
}

// whyNot tells a key that none of the custodians made from a custodian that does
// not answer. Their errors do not say which it is; whether they still encrypt does.
func (c *Custody) whyNot(ctx context.Context, row string, cause error) error {
	for _, k := range append([]*secrets.Keeper{c.keeper}, c.former...) {
		if _, err := k.Encrypt(ctx, []byte("probe")); err != nil {
			return custodianDown(errors.Join(cause, err))
		}
	}
	return unreadable(row).WithCause(cause)
}

// Renew seals a row anew unless the present custodian sealed it. It reports
// whether it did; the row is the same otherwise.
func (c *Custody) Renew(ctx context.Context, row string, sealed []byte) (again []byte, renewed bool, err error) {
	if wrapped, _, ok := split(sealed); ok {
		if key, err := c.keeper.Decrypt(ctx, wrapped); err == nil {
			clear(key)
			return sealed, false, nil
		}
	}
	again, err = c.Reseal(ctx, row, row, sealed)
	return again, err == nil, err
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

// Row seals and opens one row. Its name is part of what is sealed.
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

// Renew is Custody.Renew for the row.
func (r *Row) Renew(ctx context.Context, sealed []byte) (again []byte, renewed bool, err error) {
	return r.custody.Renew(ctx, r.name, sealed)
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
		WithNext("the key custodian must be the one that sealed it: restore its key, or name it with --former-custodian")
}

func custodianDown(cause error) error {
	return errs.New(errs.Unavailable, "CUSTODIAN_UNAVAILABLE", "the key custodian does not answer").WithCause(cause)
}
