package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/accounts"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (f *fakeAPI) DeleteAccount(_ context.Context, r *apiv1.DeleteAccountRequest) (*apiv1.DeleteAccountResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deleted = r
	return &apiv1.DeleteAccountResponse{Account: &apiv1.Account{
		Name: r.GetName(), State: apiv1.Account_STATE_DELETED, PurgeTime: timestamppb.New(testTime),
	}}, nil
}

func (f *fakeAPI) UpdateUser(_ context.Context, r *apiv1.UpdateUserRequest) (*apiv1.UpdateUserResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = r
	return &apiv1.UpdateUserResponse{User: r.GetUser(), RevokedCredentials: 3}, nil
}

func (f *fakeAPI) RenewCredential(_ context.Context, r *apiv1.RenewCredentialRequest) (*apiv1.RenewCredentialResponse, error) {
	return &apiv1.RenewCredentialResponse{Credential: &apiv1.Credential{Name: r.GetName(), PublicKey: f.renewed}, Jwt: f.renewedJWT}, nil
}

func TestDeleteSaysHowLongItCanBeUndone(t *testing.T) {
	u := newUser(t).withTenant()
	code, out, stderr := u.run("account", "delete", "orders", "--retention", "1h")
	if code != 0 || !strings.Contains(out, "deleted") || !strings.Contains(stderr, "covey account undelete orders") {
		t.Errorf("exit code %d\n%s\n%s", code, out, stderr)
	}
	if r := u.api.deleted; r.GetRetentionSeconds() != 3600 {
		t.Errorf("sent %v", r)
	}
	u.mustRun("account", "delete", "orders")
	if r := u.api.deleted; r.RetentionSeconds != nil {
		t.Errorf("unasked, sent %v", r)
	}
}

func TestUserUpdateSendsWhatFlagsNameAndNothingElse(t *testing.T) {
	u := newUser(t).withTenant()
	out := u.mustRun("user", "update", "shop", "--role", "clerk", "--dry-run")
	r := u.api.changed
	if diff := cmp.Diff([]string{"role"}, r.GetUpdateMask().GetPaths()); diff != "" {
		t.Error(diff)
	}
	if !r.GetValidateOnly() || r.GetKeepCredentials() || r.GetUser().GetRole() != "clerk" || !strings.Contains(out, "would revoke credentials") {
		t.Errorf("sent %v, printed %s", r, out)
	}
	u.mustRun("user", "update", "shop", "--allow-pub", "a.>", "--keep-credentials")
	if r := u.api.changed; !r.GetKeepCredentials() || r.GetUpdateMask().GetPaths()[0] != "permissions" {
		t.Errorf("sent %v", r)
	}
	for _, wrong := range [][]string{{"user", "update", "shop"}, {"user", "update", "shop", "--role", "x", "--allow-pub", "y"}} {
		if code, _, _ := u.run(wrong...); code != 2 {
			t.Errorf("%v: exit code %d", wrong, code)
		}
	}
}

// userJWT signs a user as some account would.
func userJWT(t *testing.T, public, name string) string {
	t.Helper()
	seed, err := accounts.NewAccountKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := seed.Signer()
	if err != nil {
		t.Fatal(err)
	}
	token, err := accounts.SignUser(accounts.UserSpec{PublicKey: public, Name: name, AccountKey: signer.PublicKey()}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return token.JWT
}

func TestRenewKeepsTheSeedOfItsFile(t *testing.T) {
	u := newUser(t).withTenant()
	seed, err := accounts.NewUserKey()
	if err != nil {
		t.Fatal(err)
	}
	if u.api.renewed, err = seed.PublicKey(); err != nil {
		t.Fatal(err)
	}
	old := userJWT(t, u.api.renewed, "old")
	u.api.renewedJWT = userJWT(t, u.api.renewed, "new")
	text, err := accounts.FormatCreds(old, seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "shop.creds")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := u.mustRun("creds", "renew", "crd_1", "--creds", file); strings.Contains(out, string(seed.Reveal())) {
		t.Error("the seed is printed")
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if jwt, same, err := accounts.ParseCreds(kept); err != nil || jwt != u.api.renewedJWT || string(same.Reveal()) != string(seed.Reveal()) {
		t.Errorf("the file holds JWT %q, %v", jwt, err)
	}
	if out := u.mustRun("creds", "renew", "crd_1"); out != u.api.renewedJWT+"\n" {
		t.Errorf("without a file it prints %q", out)
	}
	u.api.renewed = "UOTHER"
	if code, _, stderr := u.run("creds", "renew", "crd_1", "--creds", file); code != 6 || !strings.Contains(stderr, "another key's seed") {
		t.Errorf("with another key's file: exit code %d, %s", code, stderr)
	}
}
