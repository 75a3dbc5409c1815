package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// KeepBootstrapKey writes the operator's first API key to a file that only its
// owner can read, if this start made one. The file must not be there yet. With
// no path it goes beside the data, as operator.key.
func KeepBootstrapKey(s *Server, path string) error {
	key := s.BootstrapKey()
	if key == "" {
		return nil
	}
	if path == "" {
		path = filepath.Join(s.dataDir, "operator.key")
	}
	return write(path, key)
}

// joinTokenLife is how long the token that a start writes to a file is good.
const joinTokenLife = time.Hour

// KeepForBrokers writes what a broker needs to enrol to files: a fresh join
// token, readable only by the owner, and the operator's public key. A path that
// is empty is left out.
func KeepForBrokers(ctx context.Context, s *Server, tokenPath, publicKeyPath string) error {
	if publicKeyPath != "" {
		if err := writeOver(publicKeyPath, s.OperatorPublicKey()); err != nil {
			return err
		}
	}
	if tokenPath == "" {
		return nil
	}
	token, err := s.JoinToken(ctx, joinTokenLife)
	if err != nil {
		return err
	}
	return writeOver(tokenPath, token)
}

// writeOver replaces the file: its place is taken by a new one that only the
// owner can read.
func writeOver(path, text string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return write(path, text)
}

// write makes a file that must not be there yet.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make file: %w", err)
	}
	_, werr := f.WriteString(text + "\n")
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
