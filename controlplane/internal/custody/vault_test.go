package custody_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/custody/vaulttest"
	"github.com/coveymq/covey/internal/errs"
)

func remote(t *testing.T, address string) *custody.Custody {
	t.Helper()
	k, err := custody.OpenRemote(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return custody.New(k)
}

func TestVaultSealsAndSaysWhenItCannot(t *testing.T) {
	v := vaulttest.New(t)
	c := remote(t, "hashivault://covey")
	plain := []byte("a seed that nobody may see")
	sealed, err := c.Seal(t.Context(), "a", plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Unseal(t.Context(), "a", sealed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Unseal = %q, %v", got, err)
	}
	if _, err := c.Unseal(t.Context(), "b", sealed); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("a row opens under another name: %v", err)
	}
	if _, err := remote(t, "hashivault://other").Unseal(t.Context(), "a", sealed); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("another key: %v", err)
	}
	v.Seal()
	if _, err := c.Unseal(t.Context(), "a", sealed); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("a Vault that is sealed: %v", err)
	}
	if _, err := c.Seal(t.Context(), "a", plain); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("a Vault that is sealed: %v", err)
	}
	if strings.Contains(err2text(c.Seal(t.Context(), "a", plain)), vaulttest.Token) {
		t.Error("the token shows in the error")
	}
}

// Vault's own key rotation is not our matter: what an older version sealed opens,
// until Vault says that it may not; a token that was revoked is told apart from a
// secret that does not open.
func TestVaultsKeysAndTokensChange(t *testing.T) {
	v := vaulttest.New(t)
	c := remote(t, "hashivault://covey?engine=transit")
	plain := []byte("a seed that nobody may see")
	first, err := c.Seal(t.Context(), "a", plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Rotate("covey", 0); err != nil {
		t.Fatal(err)
	}
	second, err := c.Seal(t.Context(), "a", plain)
	if err != nil {
		t.Fatal(err)
	}
	fresh := remote(t, "hashivault://covey?engine=transit") // remembers nothing
	for _, sealed := range [][]byte{first, second} {
		if got, err := fresh.Unseal(t.Context(), "a", sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("Unseal = %q, %v", got, err)
		}
	}
	if err := v.Rotate("covey", 2); err != nil {
		t.Fatal(err)
	}
	fresh = remote(t, "hashivault://covey?engine=transit")
	if _, err := fresh.Unseal(t.Context(), "a", first); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("a version that may decrypt no more: %v", err)
	}
	if _, err := fresh.Unseal(t.Context(), "a", second); err != nil {
		t.Errorf("a version that may: %v", err)
	}
	v.Deny(true)
	if _, err := remote(t, "hashivault://covey").Unseal(t.Context(), "a", second); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("a token that was revoked: %v", err)
	}
	v.Deny(false)
	if _, err := remote(t, "hashivault://never-used").Unseal(t.Context(), "a", second); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("a key that is not there: %v", err)
	}
	for _, given := range v.Entered() {
		if bytes.Contains(given, plain) {
			t.Error("Vault was given the secret itself, not a data key")
		}
	}
}

func err2text(_ []byte, err error) string { return err.Error() }

func TestAFormerCustodianOpensUntilTheRowIsRenewed(t *testing.T) {
	vaulttest.New(t)
	path := filepath.Join(t.TempDir(), "key")
	old := local(t, path, true)
	plain := []byte("a seed that nobody may see")
	sealed, err := old.Seal(t.Context(), "a", plain)
	if err != nil {
		t.Fatal(err)
	}
	alone := remote(t, "hashivault://covey")
	if _, err := alone.Unseal(t.Context(), "a", sealed); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("opened by a custodian that did not seal it: %v", err)
	}
	former, err := custody.OpenLocal(path, false)
	if err != nil {
		t.Fatal(err)
	}
	present, err := custody.OpenRemote(t.Context(), "hashivault://covey")
	if err != nil {
		t.Fatal(err)
	}
	both := custody.New(present, former)
	if got, err := both.Unseal(t.Context(), "a", sealed); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("Unseal = %q, %v", got, err)
	}
	again, renewed, err := both.Row("a").Renew(t.Context(), sealed)
	if err != nil || !renewed {
		t.Fatalf("renewed %v, %v", renewed, err)
	}
	if got, err := alone.Unseal(t.Context(), "a", again); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Unseal = %q, %v", got, err)
	}
	if same, renewed, err := both.Renew(t.Context(), "a", again); err != nil || renewed || !bytes.Equal(same, again) {
		t.Errorf("renewed twice: %v, %v", renewed, err)
	}
	if _, _, err := both.Renew(t.Context(), "b", sealed); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("a row is renewed under another name: %v", err)
	}
}

func TestCustodiansThatCannotBe(t *testing.T) {
	t.Setenv("VAULT_ADDR", "")
	t.Setenv("VAULT_TOKEN", "")
	for _, address := range []string{"", "remote", "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=", "hashivault://u:p@k", "hashivault://covey", "://"} {
		if _, err := custody.OpenRemote(t.Context(), address); errs.CodeOf(err) != errs.Invalid || strings.Contains(err.Error(), "smGb") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
