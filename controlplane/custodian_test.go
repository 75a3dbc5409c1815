package controlplane_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/controlplane/internal/custody/vaulttest"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func TestSecretsMoveFromTheKeyFileToVault(t *testing.T) {
	v := vaulttest.New(t)
	dir := t.TempDir()
	p := start(t, dir)
	signed, owner := p.signUp(t, "acme")
	if _, err := owner.roles.CreateRole(t.Context(), &apiv1.CreateRoleRequest{
		Parent: "organizations/acme/accounts/default", RoleId: "reader",
		Role: &apiv1.Role{Permissions: &apiv1.Permissions{Subscribe: &apiv1.SubjectRules{Allow: []string{"a"}}}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := adminv1.NewStockClusterServiceClient(p.as(t, p.key).conn).CreateStockCluster(t.Context(), &adminv1.CreateStockClusterRequest{
		StockClusterId: "east", StockCluster: &adminv1.StockCluster{Urls: []string{"nats://127.0.0.1:1"}, CredsFile: signed.GetCredsFile()},
	}); err != nil {
		t.Fatal(err)
	}
	must[*apiv1.CreateAlertPolicyResponse](t, "policy")(owner.alerts.CreateAlertPolicy(t.Context(), &apiv1.CreateAlertPolicyRequest{
		Parent: acme, AlertPolicyId: "data", AlertPolicy: &apiv1.AlertPolicy{Metric: "data_bytes", FixedValue: 1, Webhook: &apiv1.AlertWebhook{Url: "https://127.0.0.1:1"}},
	}))
	p.stop()

	cfg := config(dir, p.log)
	cfg.Custodian = "hashivault://covey"
	if _, err := controlplane.RenewSecrets(t.Context(), cfg); errs.CodeOf(err) != errs.Precondition {
		t.Errorf("without the former custodian: %v", err)
	}
	cfg.FormerCustodians = []string{"local"}
	// Of the trust root 3, of the account 2, of its roles 1 each, the fleet's CA, the stock cluster's credentials, and the alert policy's webhook.
	if n, err := controlplane.RenewSecrets(t.Context(), cfg); err != nil || n < 10 {
		t.Fatalf("%d secrets sealed anew, %v", n, err)
	}
	if n, err := controlplane.RenewSecrets(t.Context(), cfg); err != nil || n != 0 {
		t.Errorf("a second time %d secrets, %v", n, err)
	}
	if err := os.Remove(filepath.Join(dir, "custody.key")); err != nil {
		t.Fatal(err)
	}
	cfg.FormerCustodians = nil
	moved := start(t, dir, func(c *controlplane.Config) { c.Custodian = cfg.Custodian })
	again := moved.as(t, signed.GetApiKey())
	if _, err := again.users.CreateUser(t.Context(), &apiv1.CreateUserRequest{
		Parent: "organizations/acme/accounts/default", UserId: "reading", User: &apiv1.User{Role: "reader"},
	}); err != nil {
		t.Fatal(err)
	}
	issue := &apiv1.IssueCredentialRequest{Parent: "organizations/acme/accounts/default/users/reading"}
	if _, err := again.credentials.IssueCredential(t.Context(), issue); err != nil {
		t.Errorf("issue with secrets in Vault: %v", err)
	}
	tested := must[*apiv1.TestAlertPolicyResponse](t, "webhook")(again.alerts.TestAlertPolicy(t.Context(), &apiv1.TestAlertPolicyRequest{Name: acme + "/alertPolicies/data"}))
	if !strings.Contains(tested.GetError(), "not a public address") {
		t.Errorf("the webhook, with secrets in Vault: %v", tested)
	}
	v.Seal()
	_, err := again.credentials.IssueCredential(t.Context(), issue)
	wantError(t, err, errs.Unavailable, "CUSTODIAN_UNAVAILABLE")
	if _, err := again.users.GetUser(t.Context(), &apiv1.GetUserRequest{Name: issue.GetParent()}); err != nil {
		t.Errorf("read while Vault is sealed: %v", err)
	}
}
