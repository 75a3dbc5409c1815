package custody_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/internal/errs"
)

// local opens a custody with a key file.
func local(t *testing.T, path string, create bool) *custody.Custody {
	t.Helper()
	k, err := custody.OpenLocal(path, create)
	if err != nil {
		t.Fatal(err)
	}
	return custody.New(k)
}

func TestSealedRowsOpenOnlyAsThemselves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	c := local(t, path, true)
	plain := []byte("a seed that nobody may see")
	sealed, err := c.Seal(t.Context(), "a", plain)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, plain[:8]) {
		t.Error("the sealed row shows the secret")
	}
	again := local(t, path, false)
	if got, err := again.Row("a").Decrypt(t.Context(), sealed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Decrypt = %q, %v", got, err)
	}
	if _, err := c.Unseal(t.Context(), "b", sealed); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("a row opens under another name: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := c.Unseal(t.Context(), "a", bad); err == nil {
			t.Fatalf("a row with byte %d flipped opens", i)
		}
		if _, err := c.Unseal(t.Context(), "a", sealed[:i]); err == nil {
			t.Fatalf("a row cut to %d bytes opens", i)
		}
	}
}

func TestKeyFileIsPrivateAndNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, err := custody.OpenLocal(path, false); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("a missing key is %v", err)
	}
	if _, err := custody.OpenLocal(path, true); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := custody.OpenLocal(path, true); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("an exposed key is %v", err)
	}
	if err := os.WriteFile(path, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := custody.OpenLocal(path, true); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("a damaged key is %v", err)
	}
}
