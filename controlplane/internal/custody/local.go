package custody

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"

	"github.com/coveymq/covey/internal/errs"
)

const keyFileMode = 0o600 // the owner alone

// OpenLocal returns a custodian whose key is in a file that only its owner can
// read. A missing file is made when create is true; otherwise it is an error,
// because a new key could not open what an older one sealed.
func OpenLocal(path string, create bool) (*secrets.Keeper, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		if err := makeKeyFile(path); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
		return nil, errs.New(errs.Precondition, "CUSTODY_KEY_MISSING", "the key file %s is gone, and the store holds secrets sealed with it", path).
			WithNext("restore it from a backup")
	case err != nil:
		return nil, fmt.Errorf("read key file: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return nil, errs.New(errs.Precondition, "CUSTODY_KEY_EXPOSED", "others can read the key file %s", path).
			WithNext("chmod 600 %s", path)
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	key, err := localsecrets.Base64Key(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, errs.New(errs.Precondition, "CUSTODY_KEY_DAMAGED", "the key file %s does not hold a key", path).
			WithNext("restore it from a backup").WithCause(err)
	}
	return localsecrets.NewKeeper(key), nil
}

// makeKeyFile writes a new key so that the file is there whole or not at all.
func makeKeyFile(path string) (err error) {
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".custody-*")
	if err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, werr := tmp.WriteString(base64.URLEncoding.EncodeToString(key[:]) + "\n")
	if err := errors.Join(werr, tmp.Chmod(keyFileMode), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("put key file in place: %w", err)
	}
	return nil
}
