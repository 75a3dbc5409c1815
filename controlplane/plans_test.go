package controlplane_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// staffed is the operator, and what only it may do.
type staffed struct {
	*caller
	plans adminv1.PlanServiceClient
	orgs  adminv1.OrganizationServiceClient
}

func (p *plane) granter(t *testing.T) staffed {
	t.Helper()
	c := p.as(t, p.key)
	return staffed{c, adminv1.NewPlanServiceClient(c.conn), adminv1.NewOrganizationServiceClient(c.conn)}
}

func (c *caller) plan(t *testing.T, org string) *apiv1.OrganizationPlan {
	t.Helper()
	return must[*apiv1.GetOrganizationPlanResponse](t, "plan")(apiv1.NewPlanServiceClient(c.conn).GetOrganizationPlan(t.Context(), &apiv1.GetOrganizationPlanRequest{Name: "organizations/" + org})).GetOrganizationPlan()
}

// granted finds one limit of a plan, in short.
func granted(p *apiv1.OrganizationPlan, limit string) string {
	for _, l := range p.GetLimits() {
		if l.GetLimit() == limit {
			total := "-"
			if l.Total != nil {
				total = fmt.Sprint(l.GetTotal())
			}
			return fmt.Sprintf("%d of %s, each %d, %s", l.GetAllocated(), total, l.GetAccount().GetAmount(), l.GetLayer())
		}
	}
	return ""
}

// inForce is one limit of an account, in short.
func (c *caller) inForce(t *testing.T, account, limit string) string {
	t.Helper()
	got := must[*apiv1.GetEffectiveLimitsResponse](t, "limits")(c.access.GetEffectiveLimits(t.Context(), &apiv1.GetEffectiveLimitsRequest{Name: account}))
	for _, l := range got.GetLimits() {
		if l.GetLimit() == limit {
			if l.Value == nil {
				return "unlimited " + l.GetLayer()
			}
			return fmt.Sprint(l.GetValue(), " ", l.GetLayer())
		}
	}
	t.Fatalf("no limit %q in %v", limit, got)
	return ""
}

// accountClaims are the claims in force.
func (p *plane) accountClaims(t *testing.T, by *caller, name string) *jwt.AccountClaims {
	t.Helper()
	a := must[*apiv1.GetAccountResponse](t, "account")(by.accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: name}))
	return p.claims(t, a.GetAccount().GetPublicKey())
}

func starter() *apiv1.Plan {
	return &apiv1.Plan{
		DisplayName: "Starter", Totals: &apiv1.Limits{Connections: proto.Int64(20), LeafNodes: proto.Int64(3)}, Shared: []string{"leaf_nodes"},
		AccountLimits: &apiv1.Limits{Connections: proto.Int64(5), PayloadBytes: proto.Int64(1024), MsgsIn: &apiv1.Quota{Amount: 100, Policy: apiv1.Quota_POLICY_REFUSE}},
		MaxAccounts:   proto.Int64(3), MaxUsers: proto.Int64(4),
	}
}

// assigned is acme on a plan called starter.
func assigned(t *testing.T) (*plane, staffed, *caller) {
	t.Helper()
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	staff := p.granter(t)
	must[*adminv1.CreatePlanResponse](t, "plan")(staff.plans.CreatePlan(t.Context(), &adminv1.CreatePlanRequest{PlanId: "starter", Plan: starter()}))
	must[*adminv1.AssignPlanResponse](t, "assign")(staff.plans.AssignPlan(t.Context(), &adminv1.AssignPlanRequest{
		Name: "organizations/acme", Plan: "plans/starter", Reason: "it pays", AcceptLowering: true,
	}))
	return p, staff, owner
}

func (c *caller) limitedAccount(t *testing.T, id string, l *apiv1.Limits) (*apiv1.CreateAccountResponse, error) {
	t.Helper()
	return c.accounts.CreateAccount(t.Context(), &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: id, Account: &apiv1.Account{Limits: l}})
}

func TestOrganizationsBeginUnlimited(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	got := owner.plan(t, "acme")
	if got.GetPlan() != "plans/default" || granted(got, "connections") != "" || granted(got, "accounts") != "1 of -, each 0, none" {
		t.Errorf("acme begins with %v", got)
	}
	if got := owner.inForce(t, acmeAccount, "connections"); got != "unlimited none" {
		t.Errorf("connections: %s", got)
	}
	code, body := p.http(t, http.MethodGet, "/v1/organizations/acme:plan", p.key, nil)
	if code != http.StatusOK || !strings.Contains(string(body), "plans/default") {
		t.Errorf("over REST: %d %s", code, body)
	}
	_, err := p.granter(t).plans.DeletePlan(t.Context(), &adminv1.DeletePlanRequest{Name: "plans/default"})
	wantError(t, err, errs.Precondition, "PLAN_NEEDED")
}

// TestAPlanHoldsAnOrganization divides, shares, limits each account, and counts.
func TestAPlanHoldsAnOrganization(t *testing.T) {
	p, _, owner := assigned(t)
	if got := owner.inForce(t, acmeAccount, "connections"); got != "5 plan" {
		t.Errorf("connections: %s", got)
	}
	claims := p.claims(t, must[*apiv1.GetAccountResponse](t, "get")(owner.accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: acmeAccount})).GetAccount().GetPublicKey())
	if claims.Limits.Conn != 5 || claims.Limits.Payload != 1024 || claims.Limits.LeafNodeConn != 3 || strings.Join(claims.Tags, " ") != "covey-limit:msgs-in=100/100/refuse" {
		t.Errorf("claims say %+v, %v", claims.Limits, claims.Tags)
	}
	_, err := owner.limitedAccount(t, "orders", &apiv1.Limits{Connections: proto.Int64(16)})
	if e := wantError(t, err, errs.Exhausted, "PLAN_EXHAUSTED"); e.Field != "limits.connections" || e.QuotaCode() != "connections" {
		t.Errorf("field %q", e.Field)
	}
	_, err = owner.limitedAccount(t, "orders", &apiv1.Limits{Connections: proto.Int64(21)})
	wantError(t, err, errs.Exhausted, "LIMIT_ABOVE_PLAN")
	_, err = owner.limitedAccount(t, "orders", &apiv1.Limits{PayloadBytes: proto.Int64(1025)})
	wantError(t, err, errs.Exhausted, "LIMIT_ABOVE_PLAN")
	_, err = owner.limitedAccount(t, "orders", &apiv1.Limits{MsgsIn: &apiv1.Quota{Amount: 100, Burst: 101}})
	wantError(t, err, errs.Exhausted, "LIMIT_ABOVE_PLAN")
	// Shared: both have all of it. The policy stays the plan's.
	made := must[*apiv1.CreateAccountResponse](t, "orders")(owner.limitedAccount(t, "orders", &apiv1.Limits{
		Connections: proto.Int64(15), LeafNodes: proto.Int64(3), MsgsIn: &apiv1.Quota{Amount: 7, Policy: apiv1.Quota_POLICY_SLOW},
	}))
	if got := p.claims(t, made.GetAccount().GetPublicKey()); got.Limits.Conn != 15 || strings.Join(got.Tags, " ") != "covey-limit:msgs-in=7/7/refuse" {
		t.Errorf("claims say %+v, %v", got.Limits, got.Tags)
	}
	if got := granted(owner.plan(t, "acme"), "connections"); got != "20 of 20, each 5, plan" {
		t.Errorf("connections: %s", got)
	}
	_, err = owner.limitedAccount(t, "third", nil)
	wantError(t, err, errs.Exhausted, "PLAN_EXHAUSTED")
	must[*apiv1.UpdateAccountResponse](t, "lower")(owner.limit(t, &apiv1.Limits{Connections: proto.Int64(0)}, "limits.connections"))
	must[*apiv1.CreateAccountResponse](t, "third")(owner.limitedAccount(t, "third", nil))
	_, err = owner.limitedAccount(t, "fourth", &apiv1.Limits{Connections: proto.Int64(0)})
	if e := wantError(t, err, errs.Exhausted, "PLAN_EXHAUSTED"); e.Field != "accounts" || e.QuotaCode() != "accounts" {
		t.Errorf("field %q", e.Field)
	}
	for i := range 4 {
		_, err = owner.users.CreateUser(t.Context(), &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: fmt.Sprint("user", i)})
	}
	if e := wantError(t, err, errs.Exhausted, "PLAN_EXHAUSTED"); e.Field != "users" {
		t.Errorf("field %q", e.Field)
	}
	// What ends gives back what it took up; what is only deleted does not.
	const third = "organizations/acme/accounts/third"
	must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(t.Context(), &apiv1.DeleteAccountRequest{Name: third}))
	_, err = owner.limitedAccount(t, "fourth", &apiv1.Limits{Connections: proto.Int64(0)})
	wantError(t, err, errs.Exhausted, "PLAN_EXHAUSTED")
	must[*apiv1.PurgeAccountResponse](t, "purge")(owner.accounts.PurgeAccount(t.Context(), &apiv1.PurgeAccountRequest{Name: third}))
	must[*apiv1.CreateAccountResponse](t, "fourth")(owner.limitedAccount(t, "fourth", nil))
}

// TestAChangeOfPlanSaysWhatItBreaks previews, refuses, and reaches everybody.
func TestAChangeOfPlanSaysWhatItBreaks(t *testing.T) {
	p, staff, owner := assigned(t)
	p.signUp(t, "globex")
	must[*apiv1.CreateAccountResponse](t, "orders")(owner.limitedAccount(t, "orders", &apiv1.Limits{Connections: proto.Int64(12)}))
	update := func(connections int64, dry, accept bool) (*adminv1.UpdatePlanResponse, error) {
		return staff.plans.UpdatePlan(t.Context(), &adminv1.UpdatePlanRequest{
			Plan:       &apiv1.Plan{Name: "plans/starter", Totals: &apiv1.Limits{Connections: proto.Int64(connections)}, AccountLimits: &apiv1.Limits{Connections: proto.Int64(2)}},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"totals.connections", "account_limits.connections"}}, ValidateOnly: dry, AcceptLowering: accept,
		})
	}
	got := must[*adminv1.UpdatePlanResponse](t, "preview")(update(13, true, false)).GetImpacts()
	if got.GetRefused() != 1 || got.GetLowered() != 1 || len(got.GetImpacts()) != 2 {
		t.Errorf("impacts %v", got)
	}
	_, err := update(13, false, true)
	wantError(t, err, errs.Precondition, "PLAN_BELOW_USE")
	_, err = update(14, false, false)
	wantError(t, err, errs.Precondition, "LIMITS_LOWERED")
	if got := owner.inForce(t, acmeAccount, "connections"); got != "5 plan" {
		t.Errorf("after refusals: %s", got)
	}
	done := must[*adminv1.UpdatePlanResponse](t, "lower")(update(14, false, true)).GetPlan()
	if done.GetGeneration() != 2 || done.GetSpreadGeneration() != 2 {
		t.Errorf("plan %v", done)
	}
	if got := owner.inForce(t, acmeAccount, "connections"); got != "2 plan" {
		t.Errorf("after the change: %s", got)
	}
	list := must[*adminv1.ListPlanOrganizationsResponse](t, "list")(staff.plans.ListPlanOrganizations(t.Context(), &adminv1.ListPlanOrganizationsRequest{Parent: "plans/starter"}))
	if o := list.GetOrganizations(); len(o) != 1 || o[0].GetOrganization() != "organizations/acme" || o[0].GetGeneration() != 2 {
		t.Errorf("on it are %v", list)
	}
	_, err = staff.plans.DeletePlan(t.Context(), &adminv1.DeletePlanRequest{Name: "plans/starter"})
	wantError(t, err, errs.Precondition, "PLAN_USED")
	must[*adminv1.AssignPlanResponse](t, "back")(staff.plans.AssignPlan(t.Context(), &adminv1.AssignPlanRequest{Name: "organizations/acme", Plan: "plans/default"}))
	must[*adminv1.DeletePlanResponse](t, "delete")(staff.plans.DeletePlan(t.Context(), &adminv1.DeletePlanRequest{Name: "plans/starter"}))
	_, err = staff.plans.AssignPlan(t.Context(), &adminv1.AssignPlanRequest{Name: "organizations/acme", Plan: "plans/starter"})
	wantError(t, err, errs.Precondition, "PLAN_NOT_FOUND")
	_, err = owner.accounts.CreateAccount(t.Context(), &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: "big", Account: &apiv1.Account{Limits: &apiv1.Limits{Connections: proto.Int64(1 << 40)}}})
	if err != nil {
		t.Errorf("on the default plan: %v", err)
	}
	entries, why := 0, ""
	pending := must[[]string](t, "audit")(controlplane.AuditReasons(t.Context(), p.Server, "acme", "AssignPlan"))
	for _, r := range pending {
		entries, why = entries+1, why+r
	}
	if entries != 2 || why != "it pays" {
		t.Errorf("acme's audit log has %d changes of plan, %q", entries, why)
	}
}

// TestOverrides puts something else in the place of a plan's limits, layer by
// layer.
func TestOverrides(t *testing.T) {
	_, staff, owner := assigned(t)
	set := func(name string, amount int64) (*adminv1.SetQuotaOverrideResponse, error) {
		return staff.plans.SetQuotaOverride(t.Context(), &adminv1.SetQuotaOverrideRequest{Name: name, Value: &apiv1.Quota{Amount: amount}, Reason: "a fair", AcceptLowering: true})
	}
	const whole, one = "organizations/acme/quotaOverrides/", acmeAccount + "/quotaOverrides/"
	_, err := set(one+"connections", 50)
	wantError(t, err, errs.Exhausted, "PLAN_EXHAUSTED")
	must[*adminv1.SetQuotaOverrideResponse](t, "whole")(set(whole+"connections", 60))
	if got := granted(owner.plan(t, "acme"), "connections"); got != "5 of 60, each 5, organization-override" {
		t.Errorf("connections: %s", got)
	}
	must[*adminv1.SetQuotaOverrideResponse](t, "one")(set(one+"connections", 50))
	if got := owner.inForce(t, acmeAccount, "connections"); got != "50 account-override" {
		t.Errorf("connections: %s", got)
	}
	must[*apiv1.UpdateAccountResponse](t, "own")(owner.limit(t, &apiv1.Limits{Connections: proto.Int64(40)}, "limits.connections"))
	if got := owner.inForce(t, acmeAccount, "connections"); got != "40 account" {
		t.Errorf("connections: %s", got)
	}
	must[*adminv1.SetQuotaOverrideResponse](t, "payload")(set(whole+"payload_bytes", 4096))
	if got := owner.inForce(t, acmeAccount, "payload_bytes"); got != "4096 organization-override" {
		t.Errorf("payload: %s", got)
	}
	x := must[*apiv1.ExplainAccessResponse](t, "explain")(owner.access.ExplainAccess(t.Context(), &apiv1.ExplainAccessRequest{Name: acmeUser, Action: apiv1.ExplainAccessRequest_ACTION_CONNECT}))
	if !strings.Contains(x.String(), "operator's override for its organization") {
		t.Errorf("explained as %v", x)
	}
	must[*adminv1.SetQuotaOverrideResponse](t, "accounts")(set(whole+"accounts", 1))
	_, err = owner.limitedAccount(t, "orders", nil)
	wantError(t, err, errs.Exhausted, "PLAN_EXHAUSTED")
	if got := owner.plan(t, "acme").GetOverrides(); len(got) != 4 || got[0].GetReason() != "a fair" {
		t.Errorf("overrides %v", got)
	}
	// Back again. What is in use is not taken away.
	_, err = staff.plans.DeleteQuotaOverride(t.Context(), &adminv1.DeleteQuotaOverrideRequest{Name: whole + "connections", AcceptLowering: true})
	wantError(t, err, errs.Precondition, "PLAN_BELOW_USE")
	must[*apiv1.UpdateAccountResponse](t, "own")(owner.limit(t, &apiv1.Limits{}, "limits.connections"))
	_, err = staff.plans.DeleteQuotaOverride(t.Context(), &adminv1.DeleteQuotaOverrideRequest{Name: one + "connections"})
	wantError(t, err, errs.Precondition, "LIMITS_LOWERED")
	must[*adminv1.DeleteQuotaOverrideResponse](t, "one")(staff.plans.DeleteQuotaOverride(t.Context(), &adminv1.DeleteQuotaOverrideRequest{Name: one + "connections", AcceptLowering: true}))
	must[*adminv1.DeleteQuotaOverrideResponse](t, "whole")(staff.plans.DeleteQuotaOverride(t.Context(), &adminv1.DeleteQuotaOverrideRequest{Name: whole + "connections"}))
	if got := owner.inForce(t, acmeAccount, "connections"); got != "5 plan" {
		t.Errorf("connections: %s", got)
	}
	for name, want := range map[string]string{whole + "speed": "UNKNOWN_QUOTA", one + "accounts": "UNKNOWN_QUOTA"} {
		_, err := set(name, 1)
		wantError(t, err, errs.Invalid, want)
	}
	_, err = staff.plans.SetQuotaOverride(t.Context(), &adminv1.SetQuotaOverrideRequest{Name: whole + "connections"})
	wantError(t, err, errs.Invalid, "REASON_REQUIRED")
	_, err = staff.plans.DeleteQuotaOverride(t.Context(), &adminv1.DeleteQuotaOverrideRequest{Name: whole + "connections"})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
	_, err = staff.plans.SetQuotaOverride(t.Context(), &adminv1.SetQuotaOverrideRequest{Name: whole + "connections", Reason: "x", ExpireTime: timestamppb.New(time.Now().Add(-time.Second))})
	wantError(t, err, errs.Invalid, "INVALID_FIELD")
}

// TestPlansOfOthersAreNotShown keeps what is unlisted from who is not on it.
func TestPlansOfOthersAreNotShown(t *testing.T) {
	p, staff, owner := assigned(t)
	_, other := p.signUp(t, "globex")
	must[*adminv1.UpdatePlanResponse](t, "hide")(staff.plans.UpdatePlan(t.Context(), &adminv1.UpdatePlanRequest{Plan: &apiv1.Plan{Name: "plans/starter", Unlisted: true}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"unlisted"}}}))
	for c, want := range map[*caller]int{staff.caller: 2, owner: 2, other: 1} {
		plans := apiv1.NewPlanServiceClient(c.conn)
		list := must[*apiv1.ListPlansResponse](t, "list")(plans.ListPlans(t.Context(), &apiv1.ListPlansRequest{}))
		_, err := plans.GetPlan(t.Context(), &apiv1.GetPlanRequest{Name: "plans/starter"})
		if len(list.GetPlans()) != want || (err == nil) != (want == 2) {
			t.Errorf("%d plans are listed, want %d; get: %v", len(list.GetPlans()), want, err)
		}
	}
	_, err := adminv1.NewPlanServiceClient(owner.conn).AssignPlan(t.Context(), &adminv1.AssignPlanRequest{Name: "organizations/acme", Plan: "plans/default"})
	wantError(t, err, errs.Denied, "ROLE_DENIED")
	_, err = apiv1.NewPlanServiceClient(other.conn).GetOrganizationPlan(t.Context(), &apiv1.GetOrganizationPlanRequest{Name: "organizations/acme"})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
}

// TestASuspendedOrganization is served nowhere, read only, and comes back as it
// was.
func TestASuspendedOrganization(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(*plane, *testing.T) judge) {
		p := start(t, t.TempDir())
		signed, owner := p.signUp(t, "acme")
		staff := p.granter(t)
		j := open(p, t)
		const many = 20 // more accounts than one transaction signs
		for i := range many {
			must[*apiv1.CreateAccountResponse](t, "account")(owner.limitedAccount(t, fmt.Sprintf("more-%02d", i), nil))
		}
		const still = "organizations/acme/accounts/more-07"
		must[*apiv1.SuspendAccountResponse](t, "suspend one")(owner.accounts.SuspendAccount(t.Context(), &apiv1.SuspendAccountRequest{Name: still}))
		client := j.mustConnect(t, signed.GetCredsFile())
		got := must[*adminv1.SuspendOrganizationResponse](t, "suspend")(staff.orgs.SuspendOrganization(t.Context(), &adminv1.SuspendOrganizationRequest{Name: "organizations/acme", Reason: "unpaid"}))
		if got.GetOrganization().GetState() != apiv1.Organization_STATE_SUSPENDED || got.GetOperation().GetSpreading() {
			t.Errorf("suspended: %v", got)
		}
		j.settle(t, owner, acmeAccount, got.GetOperation())
		client.wantGone(t, "suspended")
		j.wantRefused(t, signed.GetCredsFile(), "suspended")
		for i := range many {
			if c := p.accountClaims(t, owner, fmt.Sprintf("organizations/acme/accounts/more-%02d", i)); c.Limits.Conn != 0 || c.Limits.LeafNodeConn != 0 {
				t.Errorf("account %d is served: %+v", i, c.Limits)
			}
		}
		// Reading works, changing does not; the staff may.
		read := must[*apiv1.GetOrganizationResponse](t, "read")(owner.orgs.GetOrganization(t.Context(), &apiv1.GetOrganizationRequest{Name: "organizations/acme"})).GetOrganization()
		if read.GetSuspendReason() != "unpaid" || owner.inForce(t, acmeAccount, "connections") != "0 organization-suspension" {
			t.Errorf("read: %v", read)
		}
		_, err := owner.limitedAccount(t, "another", nil)
		if e := wantError(t, err, errs.Precondition, "ORGANIZATION_SUSPENDED"); !strings.Contains(e.Message, "unpaid") {
			t.Errorf("the refusal says %q", e.Message)
		}
		_, err = owner.accounts.PurgeAccount(t.Context(), &apiv1.PurgeAccountRequest{Name: still})
		wantError(t, err, errs.Precondition, "ORGANIZATION_SUSPENDED")
		must[*apiv1.UpdateAccountResponse](t, "the staff changes")(staff.limit(t, &apiv1.Limits{Connections: proto.Int64(9)}, "limits.connections"))
		if c := p.accountClaims(t, owner, acmeAccount); c.Limits.Conn != 0 {
			t.Errorf("a change of the staff resumed it: %+v", c.Limits)
		}
		back := must[*adminv1.ResumeOrganizationResponse](t, "resume")(staff.orgs.ResumeOrganization(t.Context(), &adminv1.ResumeOrganizationRequest{Name: "organizations/acme", Reason: "paid"}))
		j.settle(t, owner, acmeAccount, back.GetOperation())
		j.mustConnect(t, signed.GetCredsFile())
		if c := p.accountClaims(t, owner, acmeAccount); c.Limits.Conn != 9 {
			t.Errorf("resumed with %+v", c.Limits)
		}
		if c := p.accountClaims(t, owner, still); c.Limits.Conn != 0 {
			t.Error("an account that was suspended itself is served")
		}
		if got := must[[]string](t, "audit")(controlplane.AuditReasons(t.Context(), p.Server, "acme", "SuspendOrganization")); len(got) != 1 || got[0] != "unpaid" {
			t.Errorf("the organization's own log says %q", got)
		}
	})
}

// TestASpreadGoesOnAfterItWasCutOff leaves accounts to whoever leads.
func TestASpreadGoesOnAfterItWasCutOff(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	for i := range 12 {
		must[*apiv1.CreateAccountResponse](t, "account")(owner.limitedAccount(t, fmt.Sprintf("more-%02d", i), nil))
	}
	id := must[string](t, "suspend")(controlplane.SuspendOnly(t.Context(), p.Server, "acme"))
	wait := func() *apiv1.Operation {
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		return must[*apiv1.WaitOperationResponse](t, "wait")(owner.operations.WaitOperation(ctx, &apiv1.WaitOperationRequest{Name: "organizations/acme/operations/" + id})).GetOperation()
	}
	if op := must[*apiv1.GetOperationResponse](t, "get")(owner.operations.GetOperation(t.Context(), &apiv1.GetOperationRequest{Name: "organizations/acme/operations/" + id})).GetOperation(); op.GetSpreading() && op.GetState() != apiv1.Operation_STATE_RUNNING {
		t.Errorf("operation %v", op)
	}
	if op := wait(); op.GetSpreading() || op.GetState() != apiv1.Operation_STATE_DONE {
		t.Errorf("operation %v", op)
	}
	for i := range 12 {
		if c := p.accountClaims(t, owner, fmt.Sprintf("organizations/acme/accounts/more-%02d", i)); c.Limits.Conn != 0 {
			t.Errorf("account %d is served", i)
		}
	}
}
