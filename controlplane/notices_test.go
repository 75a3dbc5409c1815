package controlplane_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const day = 24 * time.Hour

// Before a credential of a long life ends the audit log says so, 30, 10 and 3
// days ahead, once each, as long as the credential is in use.
func TestNoticesBeforeCredentialsEnd(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	issue := func(user string, life time.Duration) *apiv1.Credential {
		t.Helper()
		parent := acmeAccount + "/users/" + user
		_, err := owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: user})
		if err != nil {
			t.Fatal(err)
		}
		return must[*apiv1.IssueCredentialResponse](t, "issue")(owner.credentials.IssueCredential(ctx,
			&apiv1.IssueCredentialRequest{Parent: parent, TtlSeconds: int64(life / time.Second)})).GetCredential()
	}
	long, short := issue("long", 180*day), issue("short", 8*day)
	gone, renewed := issue("gone", 180*day), issue("renewed", 180*day)
	suspended := issue("suspended", 180*day)
	must[*apiv1.RevokeCredentialResponse](t, "revoke")(owner.credentials.RevokeCredential(ctx, &apiv1.RevokeCredentialRequest{Name: gone.GetName()}))
	again := must[*apiv1.RenewCredentialResponse](t, "renew")(owner.credentials.RenewCredential(ctx,
		&apiv1.RenewCredentialRequest{Name: renewed.GetName(), TtlSeconds: int64(365 * day / time.Second)})).GetCredential()
	must[*apiv1.SuspendUserResponse](t, "suspend")(owner.users.SuspendUser(ctx, &apiv1.SuspendUserRequest{Name: acmeAccount + "/users/suspended"}))
	end := long.GetExpireTime().AsTime()
	names := map[string]string{long.GetName(): "long", short.GetName(): "short", gone.GetName(): "gone", renewed.GetName(): "renewed", again.GetName(): "again", suspended.GetName(): "suspended"}
	for _, at := range []struct {
		left time.Duration
		want string // all notices so far
	}{
		{175 * day, ""},
		{40 * day, ""},
		{29 * day, "long 30"},
		{28 * day, "long 30"},
		{9 * day, "long 30, long 10"},
		{time.Hour, "long 30, long 10, long 3"},
		{-day, "long 30, long 10, long 3"},
	} {
		if err := controlplane.WriteNotices(ctx, p.Server, end.Add(-at.left)); err != nil {
			t.Fatal(err)
		}
		var got []string
		notices, err := controlplane.Notices(ctx, p.Server, "acme")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range notices {
			_, text, _ := strings.Cut(n.Reason, "in less than ")
			days, _, _ := strings.Cut(text, " ")
			got = append(got, names[n.Target]+" "+days)
		}
		if text := strings.Join(got, ", "); text != at.want {
			t.Errorf("%v before the end there were the notices %q, want %q", at.left, text, at.want)
		}
	}
}
