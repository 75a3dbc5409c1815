package controlplane_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const (
	acmeAccount = "organizations/acme/accounts/default"
	acmeUser    = acmeAccount + "/users/default"
)

func TestSignUpGivesWorkingCredentialsOnce(t *testing.T) {
	p := start(t, t.TempDir())
	operator := p.as(t, p.key)
	req := &apiv1.SignUpRequest{OrganizationId: "acme", ContactEmail: "a@b.c", RequestId: "one"}
	resp := must[*apiv1.SignUpResponse](t, "sign up")(operator.orgs.SignUp(t.Context(), req))

	userJWT, seed, err := accounts.ParseCreds([]byte(resp.GetCredsFile()))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeUserClaims(userJWT)
	if err != nil {
		t.Fatal(err)
	}
	if public, _ := seed.PublicKey(); public != claims.Subject || claims.IssuerAccount != resp.GetAccount().GetPublicKey() {
		t.Errorf("credentials do not fit together: %+v", claims)
	}
	if resp.GetAccount().GetRevision() == 0 || resp.GetAccount().GetRevision() != resp.GetOperation().GetRevision() {
		t.Errorf("account revision %d, operation revision %d", resp.GetAccount().GetRevision(), resp.GetOperation().GetRevision())
	}
	if resp.GetOperation().GetState() != apiv1.Operation_STATE_DONE {
		t.Errorf("with no broker the operation is %v", resp.GetOperation().GetState())
	}
	_, err = operator.orgs.SignUp(t.Context(), req)
	wantError(t, err, errs.Precondition, "SECRET_ALREADY_DELIVERED")
	other := proto.CloneOf(req)
	other.ContactEmail = "x@y.z"
	_, err = operator.orgs.SignUp(t.Context(), other)
	wantError(t, err, errs.Conflict, "REQUEST_ID_REUSED")
	other.RequestId = "two"
	_, err = operator.orgs.SignUp(t.Context(), other)
	wantError(t, err, errs.Exists, "ORGANIZATION_EXISTS")

	owner := p.as(t, resp.GetApiKey())
	got := must[*apiv1.GetAccountResponse](t, "get account")(owner.accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: acmeAccount}))
	if !proto.Equal(got.GetAccount(), resp.GetAccount()) {
		t.Errorf("read back %v\nsigned up %v", got.GetAccount(), resp.GetAccount())
	}
	if logged := p.log.String(); strings.Contains(logged, resp.GetApiKey()) || strings.Contains(logged, string(seed.Reveal())) {
		t.Error("the log shows a secret")
	}
}

func TestOrganizationsCannotSeeEachOther(t *testing.T) {
	p := start(t, t.TempDir())
	acme, asAcme := p.signUp(t, "acme")
	globex, asGlobex := p.signUp(t, "globex")
	_ = acme
	ctx := t.Context()
	globexKey := must[*apiv1.ListAPIKeysResponse](t, "list")(asGlobex.keys.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{
		Parent: "organizations/globex/serviceAccounts/-",
	})).GetApiKeys()[0].GetName()

	list := must[*apiv1.ListOrganizationsResponse](t, "list")(asAcme.orgs.ListOrganizations(ctx, &apiv1.ListOrganizationsRequest{}))
	if len(list.GetOrganizations()) != 1 || list.GetOrganizations()[0].GetName() != "organizations/acme" {
		t.Errorf("acme sees %v", list.GetOrganizations())
	}
	for foreign, absent := range map[string]string{
		"organizations/globex":                                "organizations/nobody",
		"organizations/globex/accounts/default":               "organizations/nobody/accounts/default",
		"organizations/globex/accounts/guess":                 "organizations/acme/accounts/guess",
		globex.GetUser().GetName():                            acmeAccount + "/users/nobody",
		globex.GetCredential().GetName():                      acmeUser + "/credentials/crd_0",
		globex.GetOperation().GetName():                       "organizations/acme/operations/opn_0",
		"organizations/globex/serviceAccounts/owner":          "organizations/acme/serviceAccounts/nobody",
		"organizations/globex/accounts/default/roles/default": "organizations/acme/accounts/default/roles/nobody",
		globexKey: "organizations/acme/serviceAccounts/owner/apiKeys/key_0",
	} {
		for _, probe := range probes(asAcme) {
			onForeign, onAbsent := probe(ctx, foreign), probe(ctx, absent)
			a, b := statusText(onForeign, foreign), statusText(onAbsent, absent)
			if a != b {
				t.Errorf("%s and %s differ:\n%s\n%s", foreign, absent, a, b)
			}
			if onForeign == nil {
				t.Errorf("acme reaches %s", foreign)
			}
		}
	}
	got := must[*apiv1.GetAccountResponse](t, "get")(asGlobex.accounts.GetAccount(ctx, &apiv1.GetAccountRequest{Name: globex.GetAccount().GetName()}))
	if !proto.Equal(got.GetAccount(), globex.GetAccount()) {
		t.Errorf("acme's probing changed globex: %v", got.GetAccount())
	}
	if logged := p.log.String(); !strings.Contains(logged, "call refused") || !strings.Contains(logged, "organization=acme") {
		t.Error("the refusals are not in the log")
	}
}

func TestAccountLife(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	limit := int64(5)
	created := must[*apiv1.CreateAccountResponse](t, "create")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{
		Parent: "organizations/acme", AccountId: "orders", Account: &apiv1.Account{DisplayName: "Orders", Limits: &apiv1.Limits{Connections: &limit}, DeleteProtection: true},
	}))
	name := created.GetAccount().GetName()

	_, err := owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: ""})
	if e := wantError(t, err, errs.Invalid, "INVALID_ID"); e.Field != "account_id" || e.Message != "the account id is empty" {
		t.Errorf("empty id: field %q, message %q", e.Field, e.Message)
	}
	_, err = owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: "orders"})
	wantError(t, err, errs.Exists, "ACCOUNT_EXISTS")

	renamed := must[*apiv1.UpdateAccountResponse](t, "rename")(owner.accounts.UpdateAccount(ctx, &apiv1.UpdateAccountRequest{
		Account:    &apiv1.Account{Name: name, DisplayName: "All orders", Etag: created.GetAccount().GetEtag()},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
	}))
	if renamed.GetOperation() != nil || renamed.GetAccount().GetLimits().GetConnections() != 5 || renamed.GetAccount().GetRevision() != created.GetAccount().GetRevision() {
		t.Errorf("a new display name reaches the claims: %v", renamed)
	}
	_, err = owner.accounts.SuspendAccount(ctx, &apiv1.SuspendAccountRequest{Name: name, Etag: created.GetAccount().GetEtag()})
	wantError(t, err, errs.Conflict, "STALE_ETAG")

	dry := must[*apiv1.SuspendAccountResponse](t, "dry run")(owner.accounts.SuspendAccount(ctx, &apiv1.SuspendAccountRequest{Name: name, ValidateOnly: true}))
	if dry.GetAccount().GetState() != apiv1.Account_STATE_SUSPENDED || dry.GetOperation() != nil {
		t.Errorf("dry run answers %v", dry)
	}
	got := must[*apiv1.GetAccountResponse](t, "get")(owner.accounts.GetAccount(ctx, &apiv1.GetAccountRequest{Name: name}))
	if !proto.Equal(got.GetAccount(), renamed.GetAccount()) {
		t.Errorf("a dry run changed %v\nto %v", renamed.GetAccount(), got.GetAccount())
	}
	req := &apiv1.SuspendAccountRequest{Name: name, Etag: got.GetAccount().GetEtag(), RequestId: "suspend", Reason: "unpaid"}
	suspended := must[*apiv1.SuspendAccountResponse](t, "suspend")(owner.accounts.SuspendAccount(ctx, req))
	again := must[*apiv1.SuspendAccountResponse](t, "replay")(owner.accounts.SuspendAccount(ctx, req))
	if !proto.Equal(suspended, again) {
		t.Errorf("replay answers %v\nfirst %v", again, suspended)
	}
	resumed := must[*apiv1.ResumeAccountResponse](t, "resume")(owner.accounts.ResumeAccount(ctx, &apiv1.ResumeAccountRequest{Name: name}))
	if resumed.GetAccount().GetState() != apiv1.Account_STATE_ACTIVE || resumed.GetOperation().GetRevision() <= suspended.GetOperation().GetRevision() {
		t.Errorf("resume answers %v", resumed)
	}
	_, err = owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: name})
	wantError(t, err, errs.Precondition, "DELETE_PROTECTED")
	must[*apiv1.UpdateAccountResponse](t, "unprotect")(owner.accounts.UpdateAccount(ctx, &apiv1.UpdateAccountRequest{
		Account: &apiv1.Account{Name: name}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"delete_protection"}},
	}))
	must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: name}))
	must[*apiv1.PurgeAccountResponse](t, "purge")(owner.accounts.PurgeAccount(ctx, &apiv1.PurgeAccountRequest{Name: name}))
	_, err = owner.accounts.GetAccount(ctx, &apiv1.GetAccountRequest{Name: name})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
	ops := must[*apiv1.ListOperationsResponse](t, "operations")(owner.operations.ListOperations(ctx, &apiv1.ListOperationsRequest{Parent: "organizations/acme"}))
	var methods []string
	for _, op := range ops.GetOperations() {
		methods = append(methods, op.GetMethod())
	}
	if got, want := strings.Join(methods, " "), "PurgeAccount DeleteAccount ResumeAccount SuspendAccount CreateAccount SignUp"; got != want {
		t.Errorf("operations are %q, want %q", got, want)
	}
	waited := must[*apiv1.WaitOperationResponse](t, "wait")(owner.operations.WaitOperation(ctx, &apiv1.WaitOperationRequest{Name: resumed.GetOperation().GetName()}))
	if waited.GetOperation().GetState() != apiv1.Operation_STATE_DONE {
		t.Errorf("operation is %v", waited.GetOperation())
	}
}

func TestCredentialLife(t *testing.T) {
	p := start(t, t.TempDir())
	signed, owner := p.signUp(t, "acme")
	ctx := t.Context()
	user := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{
		Parent: acmeAccount, UserId: "shop", User: &apiv1.User{Permissions: &apiv1.Permissions{Publish: &apiv1.SubjectRules{Allow: []string{"orders.>"}}}},
	})).GetUser().GetName()
	issued := must[*apiv1.IssueCredentialResponse](t, "issue")(owner.credentials.IssueCredential(ctx, &apiv1.IssueCredentialRequest{Parent: user, TtlSeconds: 3600, RequestId: "i"}))
	_, err := owner.credentials.IssueCredential(ctx, &apiv1.IssueCredentialRequest{Parent: user, TtlSeconds: 3600, RequestId: "i"})
	wantError(t, err, errs.Precondition, "SECRET_ALREADY_DELIVERED")

	seed, err := accounts.NewUserKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := seed.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	own := &apiv1.IssueCredentialRequest{Parent: user, PublicKey: public, RequestId: "own"}
	brought := must[*apiv1.IssueCredentialResponse](t, "bring a key")(owner.credentials.IssueCredential(ctx, own))
	if brought.GetCredsFile() != "" || brought.GetCredential().GetPublicKey() != public {
		t.Errorf("answer to a brought key: %v", brought)
	}
	replay := must[*apiv1.IssueCredentialResponse](t, "replay without a secret")(owner.credentials.IssueCredential(ctx, own))
	if !proto.Equal(brought, replay) {
		t.Errorf("replay %v\nfirst %v", replay, brought)
	}
	_, err = owner.credentials.IssueCredential(ctx, &apiv1.IssueCredentialRequest{Parent: acmeUser, PublicKey: public})
	wantError(t, err, errs.Exists, "PUBLIC_KEY_IN_USE")

	revoked := must[*apiv1.RevokeCredentialResponse](t, "revoke")(owner.credentials.RevokeCredential(ctx, &apiv1.RevokeCredentialRequest{Name: issued.GetCredential().GetName()}))
	if revoked.GetOperation().GetRevision() <= signed.GetOperation().GetRevision() || revoked.GetCredential().GetState() != apiv1.Credential_STATE_REVOKED {
		t.Errorf("revoke answers %v", revoked)
	}
	list := must[*apiv1.ListCredentialsResponse](t, "list")(owner.credentials.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: user}))
	if len(list.GetCredentials()) != 2 {
		t.Fatalf("credentials are %v", list.GetCredentials())
	}
	states := map[string]apiv1.Credential_State{}
	for _, c := range list.GetCredentials() {
		states[c.GetName()] = c.GetState()
	}
	if states[issued.GetCredential().GetName()] != apiv1.Credential_STATE_REVOKED || states[brought.GetCredential().GetName()] != apiv1.Credential_STATE_ACTIVE {
		t.Errorf("states are %v", states)
	}
	account := must[*apiv1.GetAccountResponse](t, "account")(owner.accounts.GetAccount(ctx, &apiv1.GetAccountRequest{Name: acmeAccount}))
	if account.GetAccount().GetRevision() != revoked.GetOperation().GetRevision() || account.GetAccount().GetEtag() != signed.GetAccount().GetEtag() {
		t.Errorf("revoking leaves account %v", account)
	}
	claims := p.claims(t, account.GetAccount().GetPublicKey())
	if claims.Revocations[issued.GetCredential().GetPublicKey()] == 0 {
		t.Errorf("claims revoke %v", claims.Revocations)
	}
	deleted := must[*apiv1.DeleteUserResponse](t, "delete user")(owner.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: user}))
	if deleted.GetOperation() == nil || p.claims(t, account.GetAccount().GetPublicKey()).Revocations[public] == 0 {
		t.Error("deleting a user leaves its credentials good")
	}
	_, err = owner.credentials.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: user})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
}

func TestRestartFindsEverything(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	_, owner := p.signUp(t, "acme")
	before := must[*apiv1.GetAccountResponse](t, "get")(owner.accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: acmeAccount}))
	operatorKey, root := p.key, p.OperatorPublicKey()

	_, err := controlplane.New(t.Context(), config(dir, p.log))
	if errs.CodeOf(err) != errs.Precondition || !strings.Contains(err.Error(), "another process uses") {
		t.Errorf("a second control plane on the same data: %v", err)
	}
	p.stop()
	p = start(t, dir)
	if p.BootstrapKey() != "" || p.OperatorPublicKey() != root {
		t.Error("a restart makes a new trust root")
	}
	p.key = operatorKey
	after := must[*apiv1.GetAccountResponse](t, "get")(p.as(t, operatorKey).accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: acmeAccount}))
	if !proto.Equal(before, after) {
		t.Errorf("before %v\nafter %v", before, after)
	}
	p.signUp(t, "globex") // the signing key still opens
	spare := must[string](t, "new operator key")(p.NewOperatorKey(t.Context()))
	must[*apiv1.ListOrganizationsResponse](t, "list")(p.as(t, spare).orgs.ListOrganizations(t.Context(), &apiv1.ListOrganizationsRequest{}))
}

func TestStartFailuresArePrecise(t *testing.T) {
	busy, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*controlplane.Config)
		reason string
	}{
		"port in use":       {func(c *controlplane.Config) { c.HTTPAddr = busy.Addr().String() }, "is in use"},
		"exposed plaintext": {func(c *controlplane.Config) { c.APIAddr = "0.0.0.0:0" }, "not a loopback address"},
		"half of TLS":       {func(c *controlplane.Config) { c.TLSCertFile = "x" }, "both a certificate and a key"},
		"no directory":      {func(c *controlplane.Config) { c.DataDir = file }, "is not a directory"},
		"no data directory": {func(c *controlplane.Config) { c.DataDir = "" }, "no data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(filepath.Join(t.TempDir(), "data"), &logBuffer{})
			c.change(&cfg)
			s, err := controlplane.New(t.Context(), cfg)
			if err == nil {
				_ = s.Close()
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error(), c.reason) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, c.reason)
			}
		})
	}
}

func TestLostCustodyKeyIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	start(t, dir).stop()
	if err := os.Remove(filepath.Join(dir, "custody.key")); err != nil {
		t.Fatal(err)
	}
	_, err := controlplane.New(t.Context(), config(dir, &logBuffer{}))
	if err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Errorf("start without the key file: %v", err)
	}
}

func TestReadyFast(t *testing.T) {
	begin := time.Now()
	p := start(t, t.TempDir())
	p.signUp(t, "acme")
	t.Logf("first start and first sign-up took %v", time.Since(begin))
}
