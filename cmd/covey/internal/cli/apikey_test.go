package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (f *fakeAPI) CreateServiceAccount(_ context.Context, r *apiv1.CreateServiceAccountRequest) (*apiv1.CreateServiceAccountResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made = r
	sa := r.GetServiceAccount()
	sa.Name = r.GetParent() + "/serviceAccounts/" + r.GetServiceAccountId()
	return &apiv1.CreateServiceAccountResponse{ServiceAccount: sa}, nil
}

func (f *fakeAPI) CreateAPIKey(_ context.Context, r *apiv1.CreateAPIKeyRequest) (*apiv1.CreateAPIKeyResponse, error) {
	return &apiv1.CreateAPIKeyResponse{
		ApiKey: &apiv1.APIKey{Name: r.GetParent() + "/apiKeys/key_new", State: apiv1.APIKey_STATE_ACTIVE, ExpireTime: timestamppb.New(testTime)},
		Secret: "covey_key_new_secret",
	}, nil
}

func (f *fakeAPI) ListAPIKeys(_ context.Context, r *apiv1.ListAPIKeysRequest) (*apiv1.ListAPIKeysResponse, error) {
	org := strings.TrimSuffix(r.GetParent(), "/-")
	return &apiv1.ListAPIKeysResponse{ApiKeys: []*apiv1.APIKey{{Name: org + "/owner/apiKeys/key_acme", State: apiv1.APIKey_STATE_ACTIVE}}}, nil
}

func (f *fakeAPI) RotateAPIKey(_ context.Context, r *apiv1.RotateAPIKeyRequest) (*apiv1.RotateAPIKeyResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rotated = r
	return &apiv1.RotateAPIKeyResponse{
		ApiKey: &apiv1.APIKey{Name: "organizations/acme/serviceAccounts/owner/apiKeys/key_next", ExpireTime: timestamppb.New(testTime)},
		Secret: "covey_key_next_secret", Rotated: &apiv1.APIKey{Name: r.GetName(), ExpireTime: timestamppb.New(testTime)},
	}, nil
}

func TestApiKeyIsPrintedOnceAndAlone(t *testing.T) {
	u := newUser(t).withTenant()
	if out := u.mustRun("apikey", "create", "ci", "--role", "developer@orders"); out != "covey_key_new_secret\n" {
		t.Errorf("standard output is %q", out)
	}
	b := u.api.made.GetServiceAccount().GetRoleBindings()
	if len(b) != 1 || b[0].GetRole() != "developer" || b[0].GetAccount() != "organizations/acme/accounts/orders" {
		t.Errorf("role bindings are %v", b)
	}
	file := filepath.Join(t.TempDir(), "ci.key")
	out := u.mustRun("apikey", "create", "ci", "--out", file)
	if strings.Contains(out, "secret") {
		t.Errorf("a key in a file is printed too: %q", out)
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "covey_key_new_secret\n" {
		t.Errorf("file holds %q, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file is %v, %v", info.Mode(), err)
	}
	if code, _, _ := u.run("apikey", "create", "ci", "--out", file); code != 1 {
		t.Errorf("replacing a file unasked: exit code %d", code)
	}
}

func TestRotatingTheContextsOwnKeyKeepsTheNewOne(t *testing.T) {
	u := newUser(t).withTenant()
	out := u.mustRun("apikey", "rotate", "--overlap", "1h")
	if strings.Contains(out, "secret") {
		t.Errorf("the key is printed: %q", out)
	}
	c, err := u.store.Get("acme")
	if err != nil || c.APIKey.Reveal() != "covey_key_next_secret" || c.Account == "" {
		t.Errorf("context %+v, %v", c, err)
	}
	if r := u.api.rotated; r.GetName() != "organizations/acme/serviceAccounts/owner/apiKeys/key_acme" || r.GetOverlapSeconds() != 3600 {
		t.Errorf("asked for %v", r)
	}
	if code, _, stderr := u.run("apikey", "rotate", "key_nobody"); code != 3 {
		t.Errorf("an unknown key: exit code %d, %s", code, stderr)
	}
	if out := u.mustRun("apikey", "rotate", "key_acme", "--overlap", "0"); out != "covey_key_next_secret\n" {
		t.Errorf("standard output is %q", out)
	}
}
