package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (f *fakeAPI) CreateInvitation(_ context.Context, r *apiv1.CreateInvitationRequest) (*apiv1.CreateInvitationResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.invited = r
	return &apiv1.CreateInvitationResponse{
		Invitation: &apiv1.Invitation{Name: r.GetParent() + "/invitations/inv_1", Email: r.GetEmail(), MemberId: r.GetMemberId()},
		Token:      "covey_inv_1_secret",
	}, nil
}

func (f *fakeAPI) AcceptInvitation(_ context.Context, r *apiv1.AcceptInvitationRequest) (*apiv1.AcceptInvitationResponse, error) {
	if r.GetToken() != "covey_inv_1_secret" {
		return nil, status.Error(codes.Unauthenticated, "the invitation's token is not valid")
	}
	resp := &apiv1.AcceptInvitationResponse{Member: &apiv1.Member{Name: "organizations/globex/members/ann"}}
	if !r.GetValidateOnly() {
		resp.ApiKey = "covey_key_ann_secret"
	}
	return resp, nil
}

func (f *fakeAPI) UpdateMember(_ context.Context, r *apiv1.UpdateMemberRequest) (*apiv1.UpdateMemberResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.member = r
	return &apiv1.UpdateMemberResponse{Member: r.GetMember()}, nil
}

func TestAnInvitationIsPrintedOnceAndAccepted(t *testing.T) {
	u := newUser(t).withTenant()
	if out := u.mustRun("member", "invite", "Ann.Smith@acme.example", "--role", "developer@orders"); out != "covey_inv_1_secret\n" {
		t.Errorf("standard output is %q", out)
	}
	r := u.api.invited
	if r.GetMemberId() != "ann-smith" || r.GetRoleBindings()[0].GetAccount() != "organizations/acme/accounts/orders" {
		t.Errorf("asked for %v", r)
	}
	file := filepath.Join(t.TempDir(), "ann.invitation")
	if out := u.mustRun("member", "invite", "ann@acme.example", "--role", "admin", "--out", file); strings.Contains(out, "secret") {
		t.Errorf("a token in a file is printed too: %q", out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file is %v, %v", info, err)
	}
	if code, _, _ := u.run("member", "invite", "ann@acme.example"); code != 2 {
		t.Errorf("without a role: exit code %d", code)
	}

	out := u.mustRun("member", "accept", "--token-file", file)
	if strings.Contains(out, "secret") || !strings.Contains(out, "organizations/globex/members/ann") {
		t.Errorf("accepting prints %q", out)
	}
	c, err := u.store.Get("globex")
	if err != nil || c.APIKey.Reveal() != "covey_key_ann_secret" || c.Role != contexts.RoleMember || c.Organization != "globex" {
		t.Errorf("context %+v, %v", c, err)
	}
	if current, err := u.store.Current(); err != nil || current != "globex" {
		t.Errorf("selected is %q, %v", current, err)
	}
	calls := len(u.api.called())
	if code, _, stderr := u.run("member", "accept", "--token-file", file); code != 1 || !strings.Contains(stderr, "globex") {
		t.Errorf("a context that exists: exit code %d, %s", code, stderr)
	}
	if n := len(u.api.called()); n != calls+1 {
		t.Errorf("%d calls were made although the context exists; only the dry run may be", n-calls)
	}
	for _, call := range u.api.called()[calls:] {
		if !strings.HasSuffix(call, "AcceptInvitation[]") {
			t.Errorf("accepting sends a key: %s", call)
		}
	}
}

func TestSetRoleReplacesAllRoles(t *testing.T) {
	u := newUser(t).withTenant()
	u.mustRun("member", "set-role", "ann", "developer@orders", "read-only")
	r := u.api.member
	b := r.GetMember().GetRoleBindings()
	if r.GetMember().GetName() != "organizations/acme/members/ann" || len(b) != 2 || b[1].GetRole() != "read-only" ||
		strings.Join(r.GetUpdateMask().GetPaths(), ",") != "role_bindings" {
		t.Errorf("asked for %v", r)
	}
	if code, _, _ := u.run("member", "set-role", "ann"); code != 2 {
		t.Errorf("no role: exit code %d", code)
	}
}
