package controlplane_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// probes are ways to reach for a resource by name; each returns the error.
func probes(c *caller) []func(context.Context, string) error {
	return []func(context.Context, string) error{
		func(ctx context.Context, n string) error {
			_, err := c.orgs.GetOrganization(ctx, &apiv1.GetOrganizationRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.accounts.GetAccount(ctx, &apiv1.GetAccountRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.accounts.SuspendAccount(ctx, &apiv1.SuspendAccountRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.accounts.UpdateAccount(ctx, &apiv1.UpdateAccountRequest{
				Account: &apiv1.Account{Name: n}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
			})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.accounts.ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: n, AccountId: "mine"})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: n, UserId: "mine"})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.users.ListUsers(ctx, &apiv1.ListUsersRequest{Parent: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.credentials.IssueCredential(ctx, &apiv1.IssueCredentialRequest{Parent: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.credentials.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.credentials.GetCredential(ctx, &apiv1.GetCredentialRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.credentials.BatchIssueCredentials(ctx, &apiv1.BatchIssueCredentialsRequest{Parent: n, Requests: issues(n + "/users/default")})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.credentials.RevokeCredential(ctx, &apiv1.RevokeCredentialRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.operations.GetOperation(ctx, &apiv1.GetOperationRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.operations.ListOperations(ctx, &apiv1.ListOperationsRequest{Parent: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.operations.WaitOperation(ctx, &apiv1.WaitOperationRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.usage.QueryUsage(ctx, &apiv1.QueryUsageRequest{Parent: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.accounts.UndeleteAccount(ctx, &apiv1.UndeleteAccountRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.accounts.PurgeAccount(ctx, &apiv1.PurgeAccountRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.users.SuspendUser(ctx, &apiv1.SuspendUserRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.users.ResumeUser(ctx, &apiv1.ResumeUserRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.credentials.RenewCredential(ctx, &apiv1.RenewCredentialRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.users.UpdateUser(ctx, &apiv1.UpdateUserRequest{User: &apiv1.User{Name: n}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"role"}}})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.roles.CreateRole(ctx, &apiv1.CreateRoleRequest{Parent: n, RoleId: "mine"})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.roles.GetRole(ctx, &apiv1.GetRoleRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.roles.ListRoles(ctx, &apiv1.ListRolesRequest{Parent: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.roles.DeleteRole(ctx, &apiv1.DeleteRoleRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.roles.StageKey(ctx, &apiv1.StageKeyRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.roles.PromoteKey(ctx, &apiv1.PromoteKeyRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.roles.RotateKeyNow(ctx, &apiv1.RotateKeyNowRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.roles.ListKeyDependents(ctx, &apiv1.ListKeyDependentsRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.services.CreateServiceAccount(ctx, &apiv1.CreateServiceAccountRequest{Parent: n, ServiceAccountId: "mine", ServiceAccount: &apiv1.ServiceAccount{}})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.services.GetServiceAccount(ctx, &apiv1.GetServiceAccountRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.services.ListServiceAccounts(ctx, &apiv1.ListServiceAccountsRequest{Parent: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.services.UpdateServiceAccount(ctx, &apiv1.UpdateServiceAccountRequest{
				ServiceAccount: &apiv1.ServiceAccount{Name: n}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"disabled"}},
			})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.services.DeleteServiceAccount(ctx, &apiv1.DeleteServiceAccountRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.keys.CreateAPIKey(ctx, &apiv1.CreateAPIKeyRequest{Parent: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.keys.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.keys.RotateAPIKey(ctx, &apiv1.RotateAPIKeyRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.keys.DisableAPIKey(ctx, &apiv1.DisableAPIKeyRequest{Name: n})
			return err
		},
		func(ctx context.Context, n string) error {
			_, err := c.keys.DeleteAPIKey(ctx, &apiv1.DeleteAPIKeyRequest{Name: n})
			return err
		},
	}
}

// statusText is an error as its caller sees it, but for the name asked for.
// What is wrong with the form of a name is no secret.
func statusText(err error, asked string) string {
	st := status.Convert(err)
	if st.Code().String() == "InvalidArgument" || st.Code().String() == "OK" {
		return "NotFound RESOURCE"
	}
	if !strings.HasPrefix(st.Message(), "there is no ") {
		return st.Code().String() + " " + st.Message()
	}
	if !strings.Contains(st.Message(), asked) {
		return "names something else: " + st.Message()
	}
	return "NotFound RESOURCE"
}

func (p *plane) rawClaims(t *testing.T, public string) string {
	t.Helper()
	code, body := p.http(t, http.MethodGet, "/jwt/v1/accounts/"+public, "", nil)
	if code != http.StatusOK {
		t.Fatalf("resolver answers %d %s", code, body)
	}
	return string(body)
}

func (p *plane) claims(t *testing.T, public string) *jwt.AccountClaims {
	t.Helper()
	claims, err := jwt.DecodeAccountClaims(p.rawClaims(t, public))
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func (p *plane) http(t *testing.T, method, path, key string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.HTTPAddr()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, text
}

func TestRESTSharesEveryCheck(t *testing.T) {
	p := start(t, t.TempDir())
	code, body := p.http(t, http.MethodPost, "/v1/organizations:signUp", p.key, []byte(`{"organization_id":"acme","contact_email":"a@b.c"}`))
	var signed struct{ APIKey, CredsFile string }
	if err := json.Unmarshal(body, &signed); err != nil || code != http.StatusOK || signed.APIKey == "" || signed.CredsFile == "" {
		t.Fatalf("sign up answers %d %s: %v", code, body, err)
	}
	if code, body = p.http(t, http.MethodGet, "/v1/"+acmeAccount, signed.APIKey, nil); code != http.StatusOK || !bytes.Contains(body, []byte(acmeAccount)) {
		t.Errorf("get answers %d %s", code, body)
	}
	for path, want := range map[string]int{
		"/v1/organizations/globex/accounts": http.StatusNotFound,
		"/openapi.json":                     http.StatusOK,
		"/healthz":                          http.StatusOK,
		"/jwt/v1/accounts/":                 http.StatusOK,
		"/jwt/v1/accounts/nonsense":         http.StatusBadRequest,
	} {
		if code, body := p.http(t, http.MethodGet, path, signed.APIKey, nil); code != want {
			t.Errorf("GET %s answers %d %.80s, want %d", path, code, body, want)
		}
	}
	if code, _ := p.http(t, http.MethodGet, "/v1/organizations", "", nil); code != http.StatusUnauthorized {
		t.Errorf("without a key: %d", code)
	}
	big := fmt.Sprintf(`{"organization_id":"big","contact_email":%q}`, strings.Repeat("x", 2<<20))
	if code, _ := p.http(t, http.MethodPost, "/v1/organizations:signUp", p.key, []byte(big)); code < 400 {
		t.Errorf("2 MB of request: %d", code)
	}
}

func TestWhoIsRefusedAndWhyIsLoggedWithoutSecrets(t *testing.T) {
	p := start(t, t.TempDir())
	signed, _ := p.signUp(t, "acme")
	key := signed.GetApiKey()
	wrong := key[:len(key)-8] + "AAAAAAAA"
	for _, c := range []struct{ key, reason, logged string }{
		{"", "API_KEY_MISSING", "carries no API key"},
		{"nonsense", "API_KEY_INVALID", "malformed API key"},
		{wrong, "API_KEY_INVALID", "wrong secret"},
		{strings.Replace(key, "key_0", "key_1", 1), "API_KEY_INVALID", "unknown API key"},
	} {
		_, err := p.as(t, c.key).orgs.ListOrganizations(t.Context(), &apiv1.ListOrganizationsRequest{})
		wantError(t, err, errs.Unauthenticated, c.reason)
		if !strings.Contains(p.log.String(), c.logged) {
			t.Errorf("the log does not say %q", c.logged)
		}
	}
	_, err := p.as(t, key).orgs.SignUp(t.Context(), &apiv1.SignUpRequest{OrganizationId: "other", ContactEmail: "a@b.c"})
	wantError(t, err, errs.Denied, "ROLE_DENIED")
	for _, secret := range []string{key, wrong, key[len(key)-43:], wrong[len(wrong)-43:], p.key} {
		if strings.Contains(p.log.String(), secret) {
			t.Error("the log shows a secret")
		}
	}
}

func TestUnboundedInputIsRefused(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	_, err := owner.accounts.ListAccounts(t.Context(), &apiv1.ListAccountsRequest{Parent: "organizations/acme", PageSize: 5000})
	wantError(t, err, errs.Invalid, "INVALID_FIELD")
	_, err = owner.accounts.ListAccounts(t.Context(), &apiv1.ListAccountsRequest{Parent: "organizations/acme", PageToken: "Ly8v"})
	wantError(t, err, errs.Invalid, "INVALID_PAGE_TOKEN")
	_, err = owner.accounts.UpdateAccount(t.Context(), &apiv1.UpdateAccountRequest{
		Account: &apiv1.Account{Name: acmeAccount}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"public_key"}},
	})
	wantError(t, err, errs.Invalid, "INVALID_MASK")
}

func TestListsArePagedInOrder(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	for _, id := range []string{"cc", "aa", "bb"} {
		must[*apiv1.CreateAccountResponse](t, id)(owner.accounts.CreateAccount(t.Context(), &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: id}))
	}
	var got []string
	token := ""
	for {
		page := must[*apiv1.ListAccountsResponse](t, "list")(owner.accounts.ListAccounts(t.Context(), &apiv1.ListAccountsRequest{Parent: "organizations/acme", PageSize: 1, PageToken: token}))
		for _, a := range page.GetAccounts() {
			got = append(got, strings.TrimPrefix(a.GetName(), "organizations/acme/accounts/"))
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if text := strings.Join(got, " "); text != "aa bb cc default" {
		t.Errorf("accounts are %q", text)
	}
}
