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

// BatchCreateUsers refuses whoever is called "bad".
func (f *fakeAPI) BatchCreateUsers(_ context.Context, r *apiv1.BatchCreateUsersRequest) (*apiv1.BatchCreateUsersResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shared = append(f.shared, r)
	resp := &apiv1.BatchCreateUsersResponse{}
	for _, u := range r.GetUsers() {
		if u.GetUserId() == "bad" {
			return nil, status.Error(codes.InvalidArgument, "no")
		}
		resp.Users = append(resp.Users, &apiv1.User{Name: r.GetParent() + "/users/" + u.GetUserId(), Role: u.GetUser().GetRole()})
	}
	return resp, nil
}

func TestUsersAreMadeFromAFile(t *testing.T) {
	u := newUser(t).withTenant()
	file := filepath.Join(u.dir, "ids")
	write := func(lines ...string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for i := range 120 {
		ids = append(ids, fmt.Sprintf("till-%03d", i))
	}
	write(append([]string{"# the tills", ""}, ids...)...)
	out := u.mustRun("user", "create", "--from", file, "--role", "till", "--account", "orders")
	if strings.Count(out, "till-") != 120 || len(u.api.shared) != 3 {
		t.Errorf("%d calls; printed\n%s", len(u.api.shared), out)
	}
	last, ok := u.api.shared[2].(*apiv1.BatchCreateUsersRequest)
	if !ok || len(last.GetUsers()) != 20 || last.GetUsers()[0].GetUser().GetRole() != "till" || last.GetParent() != "organizations/acme/accounts/orders" || last.GetRequestId() == "" {
		t.Errorf("request %v", last)
	}
	write(append(ids, "bad")...)
	if code, _, stderr := u.run("user", "create", "--from", file, "--account", "orders"); code != 6 || !strings.Contains(stderr, "100 of 121") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for _, lines := range [][]string{{"a", "b", "a"}, {"a b"}, {"# nobody"}, {"acme/x"}} {
		write(lines...)
		if code, _, _ := u.run("user", "create", "--from", file); code != 2 {
			t.Errorf("%q: exit code %d", lines, code)
		}
	}
	if code, _, _ := u.run("user", "create", "one", "--from", file); code != 2 {
		t.Errorf("a user and a file: exit code %d", code)
	}
	if code, _, _ := u.run("user", "create"); code != 2 {
		t.Errorf("neither: exit code %d", code)
	}
}
