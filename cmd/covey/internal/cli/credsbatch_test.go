package cli_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// BatchIssueCredentials refuses whoever is called "bad".
func (f *fakeAPI) BatchIssueCredentials(_ context.Context, r *apiv1.BatchIssueCredentialsRequest) (*apiv1.BatchIssueCredentialsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shared = append(f.shared, r)
	resp := &apiv1.BatchIssueCredentialsResponse{}
	for _, one := range r.GetRequests() {
		if strings.HasSuffix(one.GetParent(), "/bad") {
			return nil, status.Error(codes.FailedPrecondition, "suspended")
		}
		resp.Issued = append(resp.Issued, &apiv1.IssueCredentialResponse{
			Credential: &apiv1.Credential{Name: one.GetParent() + "/credentials/crd_1"}, CredsFile: "seed of " + one.GetParent(),
		})
	}
	if r.GetValidateOnly() {
		for _, one := range resp.Issued {
			one.CredsFile = ""
		}
	}
	return resp, nil
}

func (f *fakeAPI) BatchRevokeCredentials(_ context.Context, r *apiv1.BatchRevokeCredentialsRequest) (*apiv1.BatchRevokeCredentialsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shared = append(f.shared, r)
	resp := &apiv1.BatchRevokeCredentialsResponse{Operation: f.operation(fmt.Sprint("organizations/acme/operations/op", len(f.shared)), true)}
	if r.GetValidateOnly() {
		resp.Operation, resp.Impact = nil, &apiv1.Impact{Connections: 7}
	}
	for _, one := range r.GetRequests() {
		if strings.HasSuffix(one.GetName(), "/bad") {
			return nil, status.Error(codes.NotFound, "there is none")
		}
		resp.Credentials = append(resp.Credentials, &apiv1.Credential{Name: one.GetName(), State: apiv1.Credential_STATE_REVOKED})
	}
	return resp, nil
}

func (f *fakeAPI) BatchUpdateUsers(_ context.Context, r *apiv1.BatchUpdateUsersRequest) (*apiv1.BatchUpdateUsersResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shared = append(f.shared, r)
	resp := &apiv1.BatchUpdateUsersResponse{RevokedCredentials: int32(len(r.GetRequests()))} //nolint:gosec // a few
	for _, one := range r.GetRequests() {
		if strings.HasSuffix(one.GetUser().GetName(), "/bad") {
			return nil, status.Error(codes.NotFound, "there is none")
		}
		resp.Users = append(resp.Users, one.GetUser())
	}
	return resp, nil
}

// file writes lines that a command reads.
func (u *user) file(lines ...string) string {
	u.t.Helper()
	path := filepath.Join(u.dir, "lines")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		u.t.Fatal(err)
	}
	return path
}

func numbered(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return all
}

func credsFiles(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := filepath.Glob(filepath.Join(dir, ".creds-*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(all, hidden...)
}

func TestCredentialsOfManyAreIssuedIntoAFolder(t *testing.T) {
	u := newUser(t).withTenant()
	dir := filepath.Join(u.dir, "out")
	ids := numbered("till-", 70)
	out := u.mustRun("creds", "issue", "--from", u.file(ids...), "--out-dir", dir, "--ttl", "24h", "--account", "orders")
	if len(u.api.shared) != 3 || strings.Count(out, "crd_1") != 70 || len(credsFiles(t, dir)) != 70 {
		t.Errorf("%d calls, %d files, printed\n%s", len(u.api.shared), len(credsFiles(t, dir)), out)
	}
	last, ok := u.api.shared[2].(*apiv1.BatchIssueCredentialsRequest)
	if !ok || len(last.GetRequests()) != 10 || last.GetParent() != "organizations/acme/accounts/orders" || last.GetRequestId() == "" || last.GetRequests()[0].GetTtlSeconds() != 86400 {
		t.Errorf("request %v", last)
	}
	one := filepath.Join(dir, "acme-orders-till-069.creds")
	if text, err := os.ReadFile(one); err != nil || string(text) != "seed of organizations/acme/accounts/orders/users/till-069" {
		t.Errorf("%s holds %q, %v", one, text, err)
	}
	if info, err := os.Stat(one); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of %s: %v, %v", one, info.Mode(), err)
	}

	// Nothing is asked for as long as a file is in the way, and nothing is left
	// behind by a part that is refused.
	calls := len(u.api.shared)
	if code, _, stderr := u.run("creds", "issue", "till-200", "till-069", "--out-dir", dir, "--account", "orders"); code != 1 || !strings.Contains(stderr, "--force") || len(u.api.shared) != calls {
		t.Errorf("a file that is there: exit code %d: %s", code, stderr)
	}
	other := filepath.Join(u.dir, "other")
	code, stdout, stderr := u.run("creds", "issue", "--from", u.file(append(ids[:40], "bad")...), "--out-dir", other, "--account", "orders", "--json")
	if code != 6 || !strings.Contains(stderr, "30 of 41") || strings.Count(stdout, "creds_file") != 30 || len(credsFiles(t, other)) != 30 {
		t.Errorf("exit code %d, %d files: %s", code, len(credsFiles(t, other)), stderr)
	}
}

func TestABatchOfCredentialsIsTriedFirst(t *testing.T) {
	u := newUser(t).withTenant()
	dir := filepath.Join(u.dir, "out")
	if code, stdout, stderr := u.run("creds", "issue", "a", "b", "--out-dir", dir, "--dry-run"); code != 0 || !strings.Contains(stdout, "2 credentials") || !strings.Contains(stderr, "nothing was changed") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if r, ok := u.api.shared[0].(*apiv1.BatchIssueCredentialsRequest); !ok || !r.GetValidateOnly() || len(credsFiles(t, dir)) != 0 {
		t.Errorf("asked %v, files %v", r, credsFiles(t, dir))
	}
	if code, stdout, _ := u.run("creds", "revoke", "crd_1", "crd_2", "--dry-run"); code != 0 || !strings.Contains(stdout, "end connections") || !strings.Contains(stdout, "7") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	if code, _, stderr := u.run("creds", "revoke", "--from", u.file(numbered("crd_", 51)...), "--dry-run"); code != 2 || !strings.Contains(stderr, "50 at once") || len(u.api.shared) != 2 {
		t.Errorf("more than one call takes: exit code %d: %s", code, stderr)
	}
	for _, line := range [][]string{
		{"creds", "issue", "a", "b", "--out", "x"},
		{"creds", "issue", "a", "a"},
		{"creds", "issue", "a", "--from", u.file("b")},
		{"creds", "issue", "a", "organizations/acme/accounts/other/users/b"},
		{"creds", "revoke"},
		{"user", "update", "--role", "x"},
		{"user", "update", "a", "b", "--role", "x", "--etag", "1"},
	} {
		if code, _, stderr := u.run(line...); code != 2 {
			t.Errorf("covey %v: exit code %d: %s", line, code, stderr)
		}
	}
}

func TestManyCredentialsAreRevokedAndUsersChanged(t *testing.T) {
	u := newUser(t).withTenant()
	names := numbered("organizations/acme/accounts/orders/users/till/credentials/crd_", 60)
	out := u.mustRun("creds", "revoke", "--from", u.file(names...), "--reason", "stolen")
	if len(u.api.shared) != 2 || strings.Count(out, "revoked") != 60 || !strings.Contains(out, "op2") {
		t.Errorf("%d calls, printed\n%s", len(u.api.shared), out)
	}
	if r, ok := u.api.shared[0].(*apiv1.BatchRevokeCredentialsRequest); !ok || len(r.GetRequests()) != 50 || r.GetReason() != "stolen" || r.GetRequestId() == "" {
		t.Errorf("request %v", r)
	}
	code, _, stderr := u.run("creds", "revoke", "--from", u.file(append(names, "organizations/acme/accounts/orders/users/till/credentials/bad")...))
	if code != 6 || !strings.Contains(stderr, "50 of 61") {
		t.Errorf("exit code %d: %s", code, stderr)
	}

	u.api.shared = nil
	out = u.mustRun("user", "update", "a", "b", "c", "--role", "till", "--keep-credentials", "--json")
	r, ok := u.api.shared[0].(*apiv1.BatchUpdateUsersRequest)
	if !ok || len(r.GetRequests()) != 3 || !strings.Contains(out, `"revoked_credentials":3`) {
		t.Fatalf("request %v, printed %s", r, out)
	}
	for _, one := range r.GetRequests() {
		if one.GetUser().GetRole() != "till" || strings.Join(one.GetUpdateMask().GetPaths(), ",") != "role" || !one.GetKeepCredentials() || one.GetRequestId() != "" {
			t.Errorf("part %v", one)
		}
	}
	if code, _, stderr := u.run("user", "update", "--from", u.file("a", "bad"), "--role", "till"); code != 3 {
		t.Errorf("nothing was done: exit code %d: %s", code, stderr)
	}
}
