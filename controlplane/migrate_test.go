package controlplane_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/embedetcd"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// oldKeys are the secrets of testdata/store-v1.jsonl, which a control plane
// from before schema versions wrote.
type oldKeys struct {
	Custody  string `json:"custody"`
	Operator string `json:"operator"`
	Acme     string `json:"acme"`
}

// oldStore makes a data directory as that control plane left it.
func oldStore(t *testing.T) (string, oldKeys, map[string]string) {
	t.Helper()
	var keys oldKeys
	text, err := os.ReadFile("testdata/store-v1.keys.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "custody.key"), []byte(keys.Custody+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, keys, putStore(t, dir, "testdata/store-v1.jsonl")
}

// putStore writes a dump into the etcd of a data directory.
func putStore(t *testing.T, dir, dump string) map[string]string {
	t.Helper()
	etcd, err := embedetcd.Start(t.Context(), embedetcd.Config{Dir: filepath.Join(dir, "etcd"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := etcd.Close(); err != nil {
			t.Error(err)
		}
	}()
	f, err := os.Open(dump) //nolint:gosec // a fixture
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	all := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var pair [2]string
		if err := json.Unmarshal(lines.Bytes(), &pair); err != nil {
			t.Fatal(err)
		}
		all[pair[0]] = pair[1]
		if _, err := etcd.Client().Put(t.Context(), pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAStoreOfTheFirstVersionIsMigrated(t *testing.T) {
	dir, keys, old := oldStore(t)
	var role struct{ Key string }
	if err := json.Unmarshal([]byte(old["/covey/v1/org/acme/role/orders/default"]), &role); err != nil || role.Key == "" {
		t.Fatalf("the fixture's role: %+v, %v", role, err)
	}
	for round := range 2 { // the second start finds nothing to do
		p := start(t, dir)
		if p.BootstrapKey() != "" {
			t.Fatal("a migrated store is taken for a new one")
		}
		acme := p.as(t, keys.Acme)
		const shop = "organizations/acme/accounts/orders/users/shop"
		issued := must[*apiv1.IssueCredentialResponse](t, "issue")(acme.credentials.IssueCredential(t.Context(), &apiv1.IssueCredentialRequest{Parent: shop}))
		if got := issued.GetCredential().GetIssuerKey(); got != role.Key {
			t.Errorf("issued with %s, want the old role's key %s", got, role.Key)
		}
		roles := must[*apiv1.ListRolesResponse](t, "roles")(acme.roles.ListRoles(t.Context(), &apiv1.ListRolesRequest{Parent: "organizations/acme/accounts/orders"}))
		if len(roles.GetRoles()) != 1 || len(roles.GetRoles()[0].GetKeys()) != 1 {
			t.Errorf("roles %v", roles)
		}
		owner := must[*apiv1.ListAPIKeysResponse](t, "keys")(acme.keys.ListAPIKeys(t.Context(), &apiv1.ListAPIKeysRequest{Parent: "organizations/acme/serviceAccounts/owner"}))
		if len(owner.GetApiKeys()) != 1 || owner.GetApiKeys()[0].GetExpireTime() != nil {
			t.Errorf("the owner's keys: %v", owner)
		}
		if got := acme.plan(t, "acme"); got.GetPlan() != "plans/default" || acme.inForce(t, "organizations/acme/accounts/orders", "payload_bytes") != "unlimited none" {
			t.Errorf("acme is on %v", got)
		}
		must[*apiv1.CreateAccountResponse](t, "account")(acme.limitedAccount(t, fmt.Sprint("more", round), nil))
		must[*apiv1.ListOrganizationsResponse](t, "operator")(p.as(t, keys.Operator).orgs.ListOrganizations(t.Context(), &apiv1.ListOrganizationsRequest{}))
		p.stop()
		if n := strings.Count(p.log.String(), "store migrated"); n > 1 {
			t.Errorf("migrated %d times in one start", n)
		}
	}
}

func TestAStoreOfANewerVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, dir).stop()
	putStore(t, dir, "testdata/store-newer.jsonl")
	_, err := controlplane.New(t.Context(), config(dir, &logBuffer{}))
	if errs.CodeOf(err) != errs.Precondition || !strings.Contains(err.Error(), "newer version of Covey") {
		t.Errorf("start on a newer store: %v", err)
	}
}
