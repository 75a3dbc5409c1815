package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the operator's own path
	if err != nil {
		return fmt.Errorf("make operator key file: %w", err)
	}
	_, werr := f.WriteString(key + "\n")
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write operator key file: %w", err)
	}
	return nil
}
