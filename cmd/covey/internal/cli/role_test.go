package cli_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (f *fakeAPI) UpdateRole(_ context.Context, r *apiv1.UpdateRoleRequest) (*apiv1.UpdateRoleResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.widened = r
	return &apiv1.UpdateRoleResponse{Role: r.GetRole()}, nil
}

func (f *fakeAPI) RetireKey(_ context.Context, r *apiv1.RetireKeyRequest) (*apiv1.RetireKeyResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retired = r
	return &apiv1.RetireKeyResponse{
		Role:       &apiv1.Role{Name: r.GetName(), Keys: []*apiv1.SigningKey{{PublicKey: r.GetPublicKey(), State: apiv1.SigningKey_STATE_RETIRED}}},
		Dependents: []*apiv1.KeyDependent{{Credential: r.GetName() + "/credentials/crd_1"}}, DependentCount: 7,
	}, nil
}

func TestRoleUpdateSendsWhatFlagsNameAndNothingElse(t *testing.T) {
	u := newUser(t).withTenant()
	u.mustRun("role", "update", "shop", "--allow-pub", "orders.>", "--deny-sub", "secret")
	r := u.api.widened
	if diff := cmp.Diff([]string{"permissions"}, r.GetUpdateMask().GetPaths()); diff != "" {
		t.Error(diff)
	}
	if r.GetRole().GetName() != "organizations/acme/accounts/default/roles/shop" || r.GetRole().GetPermissions().GetSubscribe().GetDeny()[0] != "secret" {
		t.Errorf("sent %v", r)
	}
	u.mustRun("role", "update", "shop", "--allow-all", "--display-name", "Shop")
	if r := u.api.widened; len(r.GetUpdateMask().GetPaths()) != 2 || r.GetRole().GetPermissions() != nil {
		t.Errorf("sent %v", r)
	}
	u.mustRun("role", "update", "shop", "--limit", "msgs-in=10/20/refuse", "--payload", "unlimited")
	if r := u.api.widened; cmp.Diff([]string{"limits.payload_bytes", "limits.msgs_in"}, r.GetUpdateMask().GetPaths()) != "" ||
		r.GetRole().GetLimits().GetMsgsIn().GetBurst() != 20 || r.GetRole().GetLimits().PayloadBytes != nil {
		t.Errorf("sent %v", r)
	}
	for _, wrong := range [][]string{{"role", "update", "shop"}, {"role", "update", "shop", "--limit", "speed=1"}, {"role", "update", "shop", "--subscriptions", "-1"}, {"role", "update", "shop", "--allow-all", "--allow-pub", "x"}} {
		if code, _, _ := u.run(wrong...); code != 2 {
			t.Errorf("%v: exit code %d", wrong, code)
		}
	}
}

func TestRetiringAKeyNamesWhatEnds(t *testing.T) {
	u := newUser(t).withTenant()
	out := u.mustRun("key", "retire", "shop", "AKEY", "--force", "--dry-run", "--reason", "old")
	for _, want := range []string{"would end credentials", "7", "crd_1", "retired"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	if r := u.api.retired; !r.GetForce() || !r.GetValidateOnly() || r.GetReason() != "old" || r.GetPublicKey() != "AKEY" {
		t.Errorf("sent %v", r)
	}
}
