package controlplane_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// few lets only so many messages in at once, and says so.
func few(n int64) *apiv1.Quota {
	return &apiv1.Quota{Amount: 1, Burst: n, Policy: apiv1.Quota_POLICY_REFUSE}
}

// refusals publishes, and returns how often it was told that there was too much.
func (c *client) refusals(t *testing.T, when string) int64 {
	t.Helper()
	var told atomic.Int64
	c.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) { told.Add(1) })
	for range 10 {
		if err := c.Publish("a", nil); err != nil {
			t.Fatal(err)
		}
	}
	c.wantAlive(t, when)
	c.wantAlive(t, when) // the error handler has run
	return told.Load()
}

// TestLimitsOfARoleHoldForItsUsers limits a role whose user is connected: our
// broker enforces it at once, stock nats-server serves the same claims.
func TestLimitsOfARoleHoldForItsUsers(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	role := must[*apiv1.CreateRoleResponse](t, "role")(owner.roles.CreateRole(t.Context(), &apiv1.CreateRoleRequest{Parent: acmeAccount, RoleId: "shop"}))
	user := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(t.Context(), &apiv1.CreateUserRequest{
		Parent: acmeAccount, UserId: "till", User: &apiv1.User{Role: "shop"},
	})).GetUser()
	update := func(l *apiv1.Limits, paths ...string) *apiv1.UpdateRoleResponse {
		return must[*apiv1.UpdateRoleResponse](t, "limit")(owner.roles.UpdateRole(t.Context(), &apiv1.UpdateRoleRequest{
			Role: &apiv1.Role{Name: role.GetRole().GetName(), Limits: l}, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
		}))
	}
	p.judges(t, func(t *testing.T, j judge) {
		c, other := j.mustConnect(t, owner.issue(t, user.GetName()).GetCredsFile()), j.mustConnect(t, owner.issue(t, acmeUser).GetCredsFile())
		resp := update(&apiv1.Limits{MsgsIn: few(5)}, "limits.msgs_in")
		j.settle(t, owner, acmeAccount, resp.GetOperation())
		if n := c.refusals(t, "over the limit of its role"); strings.HasSuffix(t.Name(), "covey_broker") != (n > 0) {
			t.Errorf("%d refusals", n)
		}
		if n := other.refusals(t, "without that role"); n > 0 {
			t.Errorf("%d refusals without the role", n)
		}
		two := int64(2)
		resp = update(&apiv1.Limits{Subscriptions: &two}, "limits.subscriptions", "limits.msgs_in")
		j.settle(t, owner, acmeAccount, resp.GetOperation())
		if !strings.HasSuffix(t.Name(), "covey_broker") { // stock ends who has a role whose template is another one
			c = j.mustConnect(t, owner.issue(t, user.GetName()).GetCredsFile())
		}
		if n := c.refusals(t, "when the limit is lifted"); n > 0 {
			t.Errorf("%d refusals without a limit", n)
		}
		fresh := j.mustConnect(t, owner.issue(t, user.GetName()).GetCredsFile())
		for range 3 {
			if _, err := fresh.SubscribeSync("s"); err != nil {
				t.Fatal(err)
			}
		}
		fresh.wantAlive(t, "with a subscription too many")
		if err := fresh.LastError(); err == nil || !strings.Contains(err.Error(), "maximum subscriptions exceeded") {
			t.Errorf("the third subscription: %v", err)
		}
		j.settle(t, owner, acmeAccount, update(nil, "limits").GetOperation())
	})
}

// TestLimitsOfAUserAreInItsCredentials limits one user: what was issued before is
// revoked, what is issued then carries the limit.
func TestLimitsOfAUserAreInItsCredentials(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	update := func(l *apiv1.Limits, keep bool, paths ...string) (*apiv1.UpdateUserResponse, error) {
		return owner.users.UpdateUser(t.Context(), &apiv1.UpdateUserRequest{
			User: &apiv1.User{Name: acmeUser, Limits: l}, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}, KeepCredentials: keep,
		})
	}
	p.judges(t, func(t *testing.T, j judge) {
		before := j.mustConnect(t, owner.issue(t, acmeUser).GetCredsFile())
		resp := must[*apiv1.UpdateUserResponse](t, "limit")(update(&apiv1.Limits{MsgsIn: few(5)}, false, "limits.msgs_in"))
		if resp.GetRevokedCredentials() == 0 {
			t.Error("credentials without the limit are still good")
		}
		j.settle(t, owner, acmeAccount, resp.GetOperation())
		before.wantGone(t, "its credential does not know the limit")
		issued := owner.issue(t, acmeUser)
		claims, err := jwt.DecodeUserClaims(tokenOf(t, issued.GetCredsFile()))
		if err != nil || !slices.Contains(claims.Tags, "covey-limit:msgs-in=1/5/refuse") {
			t.Errorf("the credential's tags are %v (%v)", claims.Tags, err)
		}
		c := j.mustConnect(t, issued.GetCredsFile())
		if n := c.refusals(t, "over its own limit"); strings.HasSuffix(t.Name(), "covey_broker") != (n > 0) {
			t.Errorf("%d refusals", n)
		}
		resp = must[*apiv1.UpdateUserResponse](t, "lift")(update(nil, true, "limits"))
		if resp.GetOperation() != nil || resp.GetUser().GetLimits() != nil {
			t.Errorf("lifting: %v", resp)
		}
	})
	ten := int64(10)
	for _, bad := range []struct {
		limits *apiv1.Limits
		reason string
	}{
		{&apiv1.Limits{Connections: &ten}, "QUOTA_OF_ACCOUNTS"},
		{&apiv1.Limits{DataBytes: &ten}, "QUOTA_OF_ACCOUNTS"},
		{&apiv1.Limits{Weight: &apiv1.Quota{Amount: 3}}, "QUOTA_OF_ACCOUNTS"},
		{&apiv1.Limits{TotalSubscriptions: &apiv1.Quota{Amount: 3}}, "QUOTA_OF_ACCOUNTS"},
		{&apiv1.Limits{Subscriptions: &ten}, "ROLE_AND_LIMITS"},
		{&apiv1.Limits{MsgsIn: &apiv1.Quota{}}, "INVALID_QUOTA"},
	} {
		_, err := update(bad.limits, false, "limits")
		wantError(t, err, errs.Invalid, bad.reason)
	}
	_, err := update(nil, false, "limits.speed")
	wantError(t, err, errs.Invalid, "INVALID_MASK")
}

// TestWeightOfAnAccountReachesTheClaims states what part an account has in the
// processors.
func TestWeightOfAnAccountReachesTheClaims(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	resp := must[*apiv1.UpdateAccountResponse](t, "weigh")(owner.limit(t, &apiv1.Limits{Weight: &apiv1.Quota{Amount: 7}}, "limits.weight"))
	if tags := p.claims(t, resp.GetAccount().GetPublicKey()).Tags; !slices.Contains(tags, "covey-limit:weight=7") {
		t.Errorf("tags are %v", tags)
	}
	_, err := owner.limit(t, &apiv1.Limits{Weight: &apiv1.Quota{Amount: 1001}}, "limits.weight")
	wantError(t, err, errs.Invalid, "INVALID_QUOTA")
}

func tokenOf(t *testing.T, creds string) string {
	t.Helper()
	token, err := jwt.ParseDecoratedJWT([]byte(creds))
	if err != nil {
		t.Fatal(err)
	}
	return token
}
