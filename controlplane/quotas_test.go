package controlplane_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// limit updates limits of the account that every organization begins with.
func (c *caller) limit(t *testing.T, l *apiv1.Limits, paths ...string) (*apiv1.UpdateAccountResponse, error) {
	t.Helper()
	return c.accounts.UpdateAccount(t.Context(), &apiv1.UpdateAccountRequest{
		Account: &apiv1.Account{Name: acmeAccount, Limits: l}, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
	})
}

// TestLimitsOfOurOwnReachTheClaims sets limits one by one: each changes alone,
// is completed, and is a tag in the claims.
func TestLimitsOfOurOwnReachTheClaims(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	all := &apiv1.Limits{
		MsgsIn: &apiv1.Quota{Amount: 1000, Burst: 2000, Policy: apiv1.Quota_POLICY_REFUSE}, BytesIn: &apiv1.Quota{Amount: 1 << 20},
		MsgsOut: &apiv1.Quota{Amount: 5}, BytesOut: &apiv1.Quota{Amount: 5}, Connects: &apiv1.Quota{Amount: 10}, Subscribes: &apiv1.Quota{Amount: 5},
		TotalSubscriptions: &apiv1.Quota{Amount: 0}, PendingBytes: &apiv1.Quota{Amount: 1 << 30, Policy: apiv1.Quota_POLICY_DROP}, UserConnections: &apiv1.Quota{Amount: 3},
	}
	resp := must[*apiv1.UpdateAccountResponse](t, "limit")(owner.limit(t, all, "limits"))
	if resp.GetOperation() == nil {
		t.Error("the claims did not change")
	}
	tags := p.claims(t, resp.GetAccount().GetPublicKey()).Tags
	want := []string{
		"covey-limit:msgs-in=1000/2000/refuse", "covey-limit:bytes-in=1048576/1048576/slow", "covey-limit:msgs-out=5/5/slow", "covey-limit:bytes-out=5/5/slow",
		"covey-limit:connects=10/10/refuse", "covey-limit:subscribes=5/5/slow", "covey-limit:subscriptions=0//refuse", "covey-limit:pending=1073741824//drop", "covey-limit:user-connections=3//refuse",
	}
	if diff := cmp.Diff(want, []string(tags)); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	resp = must[*apiv1.UpdateAccountResponse](t, "change")(owner.limit(t, &apiv1.Limits{MsgsIn: &apiv1.Quota{Amount: 7}}, "limits.msgs_in", "limits.bytes_in"))
	got := must[*apiv1.GetAccountResponse](t, "get")(owner.accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: acmeAccount})).GetAccount().GetLimits()
	if diff := cmp.Diff(&apiv1.Quota{Amount: 7, Burst: 7, Policy: apiv1.Quota_POLICY_SLOW}, got.GetMsgsIn(), protocmp.Transform()); diff != "" || got.GetBytesIn() != nil || got.GetMsgsOut() == nil {
		t.Errorf("limits are %v", got)
	}
	if again := must[*apiv1.UpdateAccountResponse](t, "the same")(owner.limit(t, &apiv1.Limits{MsgsIn: &apiv1.Quota{Amount: 7}}, "limits.msgs_in")); again.GetOperation() != nil {
		t.Error("the same limit again reaches the claims")
	}
	tags = p.claims(t, resp.GetAccount().GetPublicKey()).Tags
	if !slices.Contains(tags, "covey-limit:msgs-in=7/7/slow") || slices.ContainsFunc(tags, func(tag string) bool { return strings.Contains(tag, "bytes-in") }) {
		t.Errorf("tags are %v", tags)
	}
	code, body := p.http(t, http.MethodPatch, "/v1/"+acmeAccount, p.key, []byte(`{"account":{"limits":{"msgs_in":{"amount":"9","policy":"POLICY_CLOSE"}}},"update_mask":"limits.msgsIn"}`))
	if code != http.StatusOK || !strings.Contains(string(body), `POLICY_CLOSE`) {
		t.Errorf("over REST: %d %s", code, body)
	}
}

// TestLimitsOfOurOwnAreChecked refuses what no broker could enforce.
func TestLimitsOfOurOwnAreChecked(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	for _, l := range []*apiv1.Limits{
		{MsgsIn: &apiv1.Quota{}},
		{MsgsIn: &apiv1.Quota{Amount: -1}},
		{MsgsIn: &apiv1.Quota{Amount: 1, Burst: -1}},
		{MsgsIn: &apiv1.Quota{Amount: 1, Policy: apiv1.Quota_POLICY_DROP}},
		{Connects: &apiv1.Quota{Amount: 1, Policy: apiv1.Quota_POLICY_CLOSE}},
		{TotalSubscriptions: &apiv1.Quota{Amount: 1, Burst: 1}},
		{PendingBytes: &apiv1.Quota{Amount: 0}},
		{MsgsIn: &apiv1.Quota{Amount: 1, Policy: 99}},
	} {
		_, err := owner.limit(t, l, "limits")
		if e := wantError(t, err, errs.Invalid, "INVALID_QUOTA"); e.Field != "limits" {
			t.Errorf("%v: field %q", l, e.Field)
		}
	}
	_, err := owner.limit(t, &apiv1.Limits{}, "limits.speed")
	wantError(t, err, errs.Invalid, "INVALID_MASK")
}

// TestLimitsOfOurOwnAreEnforced lets a broker refuse what an account may not, and
// checks that stock nats-server serves the same claims.
func TestLimitsOfOurOwnAreEnforced(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.judges(t, func(t *testing.T, j judge) {
		client := j.mustConnect(t, owner.issue(t, acmeUser).GetCredsFile())
		var told atomic.Int64
		client.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) { told.Add(1) })
		resp := must[*apiv1.UpdateAccountResponse](t, "limit")(owner.limit(t, &apiv1.Limits{MsgsIn: &apiv1.Quota{Amount: 1, Burst: 5, Policy: apiv1.Quota_POLICY_REFUSE}}, "limits.msgs_in"))
		j.settle(t, owner, acmeAccount, resp.GetOperation())
		for range 10 {
			if err := client.Publish("a", nil); err != nil {
				t.Fatal(err)
			}
		}
		client.wantAlive(t, "over its limit")
		client.wantAlive(t, "after it was told")
		if ours := strings.HasSuffix(t.Name(), "covey_broker"); ours != (told.Load() > 0) {
			t.Errorf("%d refusals", told.Load())
		}
		cleared := must[*apiv1.UpdateAccountResponse](t, "lift")(owner.limit(t, &apiv1.Limits{}, "limits.msgs_in"))
		j.settle(t, owner, acmeAccount, cleared.GetOperation())
	})
}
